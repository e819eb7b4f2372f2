-- KEYS: b of each browser, of one part. Returns those that there were, each as
-- key and subnet.
local owners, seen = {}, {}
for i = 2, #ARGV do
  if not seen[ARGV[i]] then
    seen[ARGV[i]] = true
    owners[#owners + 1] = 'b' .. ARGV[i]
  end
end
return removebrowsers(ARGV[1], owners)
