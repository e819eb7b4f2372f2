-- KEYS: e, d, c, q. Ends those of the members that follow the arguments named
-- here whose deadline has come. Returns the sessions as finish does, and the
-- browsers that were removed, each as key and subnet.
local base, part, channel, origin, now, name = unpack(ARGV, 1, 6)
now = tonumber(now)
local keys, browsers, tabs = {}, {}, {}
for i = 7, #ARGV do
  local member = ARGV[i]
  local deadline = call('ZSCORE', KEYS[1], member)
  if deadline and tonumber(deadline) <= now then
    local kind = string.sub(member, 1, 1)
    if kind == 's' then
      keys[#keys + 1] = string.sub(member, 2)
    elseif kind == 'b' then
      browsers[#browsers + 1] = member
    else
      tabs[#tabs + 1] = member
    end
  end
end
local ended = finish(base, keys, nil, 'expired', part, channel, origin)
local gone = removebrowsers(base, browsers)
for _, member in ipairs(tabs) do
  local length = struct.unpack('>I4', string.sub(member, 2, 5))
  drop(base, string.sub(member, 6, 5 + length), string.sub(member, 6 + length))
end
insist(KEYS[3])
local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[1] then
  call('ZADD', KEYS[2], first[2], name)
else
  call('ZREM', KEYS[2], name)
end
return { ended, gone }
