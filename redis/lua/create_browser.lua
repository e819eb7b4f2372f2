-- KEYS: b, d, c. Returns 1 if there was none.
local base, key, record = ARGV[1], ARGV[2], ARGV[3]
if call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local _, deadline = head(record)
call('SET', KEYS[1], record)
keep(KEYS[1], deadline, true)
schedule(base, 'b' .. key, deadline)
count(base, 'b', 1)
return 1
