-- KEYS: s, u, d, c, q. Returns the sessions that end instead, as finish does.
local base, key, record, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local part, channel, origin = ARGV[5], ARGV[6], ARGV[7]
if call('EXISTS', KEYS[1]) == 1 then
  return redis.error_reply('EXISTS there is a session of this key already')
end
local gone = {}
if limit > 0 and call('ZCARD', KEYS[2]) >= limit then
  local others, names = call('ZRANGE', KEYS[2], 0, -1), {}
  for i, other in ipairs(others) do
    names[i] = base .. 's' .. other
  end
  local left = many('EXISTS', nil, names)
  local all = left == #others -- or else the engine has freed some
  local over = left + 1 - limit
  for i, other in ipairs(others) do
    local freed = not all and call('EXISTS', names[i]) == 0
    if freed or over > 0 then
      gone[#gone + 1] = other
    end
    if not freed then
      over = over - 1
    end
  end
end
local seen, deadline = head(record)
call('SET', KEYS[1], record)
keep(KEYS[1], deadline, true)
add(KEYS[2], seen, key, deadline)
schedule(base, 's' .. key, deadline)
count(base, 's', 1)
return finish(base, gone, KEYS[2], 'evicted', part, channel, origin)
