-- KEYS: n. Adds a browser to its subnet's list, takes the least recently seen
-- others over the limit off it, and returns them.
local key, seen, deadline, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local gone = {}
if limit > 0 then
  call('ZREM', KEYS[1], key)
  local over = call('ZCARD', KEYS[1]) + 1 - limit
  if over > 0 then
    gone = call('ZRANGE', KEYS[1], 0, over - 1)
    call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
  end
end
add(KEYS[1], seen, key, deadline)
return gone
