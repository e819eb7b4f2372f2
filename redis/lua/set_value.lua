-- KEYS: v, d, c, and in a store of one node possibly the s of the session that
-- must exist. Returns the version, 0 for a removal, -1 if what must exist does
-- not, and -2 if the version is another.
local base, owner, tab, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local version, data, deadline = ARGV[5], ARGV[6], tonumber(ARGV[7])
local removal, session, own = ARGV[8] == 'remove', ARGV[9], ARGV[10]
local values, tabs = KEYS[1], base .. 't' .. owner
local kind = string.sub(owner, 1, 1)
local field = struct.pack('>I4', #tab) .. tab .. name

local held = kind == 's' or kind == 'b'
if held and call('EXISTS', base .. owner) == 0 or session ~= '' and call('EXISTS', session) == 0 then
  return -1
end
if own ~= '' and not call('ZSCORE', base .. owner, own) then -- owner is a user
  return -1
end
if version ~= 'any' then
  local now = call('HGET', values, field)
  if (now and string.sub(now, 1, 8) or '\0\0\0\0\0\0\0\0') ~= version then
    return -2
  end
end

if removal then
  if call('HDEL', values, field) == 1 then
    count(base, 'v', -1)
    if tab ~= '' then
      local start = struct.pack('>I4', #tab) .. tab
      for _, other in ipairs(call('HKEYS', values)) do
        if string.sub(other, 1, #start) == start then
          return 0
        end
      end
      call('ZREM', tabs, tab)
      unschedule(base, tabmember(owner, tab))
    end
  end
  return 0
end

-- Also when the engine has lost what it knew, no version comes again.
local number = math.max(tonumber(call('HGET', base .. 'c', 'version') or 0) + 1, clock())
local ends = held and call('PEXPIRETIME', base .. owner) or -1
call('HSET', base .. 'c', 'version', number)
count(base, 'v', call('HSET', values, field, struct.pack('>i8', number) .. data))
if tab ~= '' then
  local old = call('ZSCORE', tabs, tab)
  if not old or deadline > tonumber(old) then
    call('ZADD', tabs, deadline, tab)
    schedule(base, tabmember(owner, tab), deadline)
  end
end
if ends > 0 then -- with its owner
  call('PEXPIREAT', values, ends)
  if tab ~= '' then
    call('PEXPIREAT', tabs, ends)
  end
end
return number
