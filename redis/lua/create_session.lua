-- KEYS: s, u, d, c, q. Returns the sessions that end instead.
local base, key, record, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local part, channel, origin = ARGV[5], ARGV[6], ARGV[7]
if call('EXISTS', KEYS[1]) == 1 then
  return redis.error_reply('EXISTS there is a session of this key already')
end
local list = {}
if limit > 0 then
  local over = call('ZCARD', KEYS[2]) + 1 - limit
  if over > 0 then
    local victims = call('ZRANGE', KEYS[2], 0, over - 1)
    list = looks(base, victims)
    for i, o in ipairs(list) do
      if not o.record then -- the engine has freed it
        call('ZREM', KEYS[2], victims[i])
      end
    end
  end
end
local seen, deadline = head(record)
call('SET', KEYS[1], record)
keep(KEYS[1], deadline, true)
add(KEYS[2], seen, key, deadline)
schedule(base, 's' .. key, deadline)
count(base, 's', 1)
return finish(base, list, 'evicted', part, channel, origin)
