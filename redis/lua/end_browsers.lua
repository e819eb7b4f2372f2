-- KEYS: b of each browser, of one part. Returns those that there were, each as
-- key and subnet.
local base = ARGV[1]
local list = {}
local seen = {}
for i = 2, #ARGV do
  if not seen[ARGV[i]] then
    seen[ARGV[i]] = true
    list[#list + 1] = look(base, 'b' .. ARGV[i])
  end
end
local gone = {}
for _, o in ipairs(list) do
  remove(base, o)
  if o.record then
    local _, _, subnet = head(o.record)
    gone[#gone + 1] = string.sub(o.owner, 2)
    gone[#gone + 1] = subnet
  end
end
return gone
