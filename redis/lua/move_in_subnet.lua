-- KEYS: n of each browser. Notes when browsers were last seen: key, last seen
-- and deadline of each follow one another.
insist(string.match(KEYS[1], '^[^}]*}') .. 'c') -- of the part
for i, subnet in ipairs(KEYS) do
  local key, seen, deadline = ARGV[3 * i - 2], ARGV[3 * i - 1], tonumber(ARGV[3 * i])
  if call('ZSCORE', subnet, key) then
    call('ZADD', subnet, 'XX', 'GT', seen, key)
    keep(subnet, deadline, call('ZCARD', subnet) == 1)
  end
end
