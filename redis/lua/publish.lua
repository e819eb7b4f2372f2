-- KEYS: q.
local base, part, channel, origin, message = unpack(ARGV)
insist(KEYS[1])
publish(base, part, channel, origin, 'm' .. message)
