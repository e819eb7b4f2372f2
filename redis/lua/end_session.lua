-- KEYS: s, d, c, q. Returns the session, if it exists, as finish does.
local base, key, reason, part, channel, origin = unpack(ARGV)
return finish(base, { key }, nil, reason, part, channel, origin)
