-- KEYS: s, d, c, q. Returns the session, if it exists.
local base, key, reason, part, channel, origin = unpack(ARGV)
local o = look(base, 's' .. key)
if not o.record then
  return {}
end
return finish(base, { o }, reason, part, channel, origin)
