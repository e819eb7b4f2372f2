-- KEYS: q.
local base, part, channel, origin, message = unpack(ARGV)
publish(base, part, channel, origin, 'm' .. message)
