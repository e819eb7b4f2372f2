-- KEYS: v, d, c, and in a store of one node possibly the s of the session that
-- must exist. Returns -1 if it does not.
local base, owner, tab, session = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if session ~= '' and call('EXISTS', session) == 0 then
  return -1
end
drop(base, owner, tab)
return 0
