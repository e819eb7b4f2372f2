-- KEYS: u, d, c, q. Ends the user's sessions except those of the keys that
-- follow the arguments named here. Returns them as finish does.
local base, reason, part, channel, origin = unpack(ARGV, 1, 5)
local kept = {}
for i = 6, #ARGV do
  kept[ARGV[i]] = true
end
local keys = {}
for _, key in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  if not kept[key] then
    keys[#keys + 1] = key
  end
end
return finish(base, keys, KEYS[1], reason, part, channel, origin)
