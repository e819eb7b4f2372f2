-- KEYS: n of each browser. Takes browsers off their subnets' lists.
for i, subnet in ipairs(KEYS) do
  call('ZREM', subnet, ARGV[i])
end
