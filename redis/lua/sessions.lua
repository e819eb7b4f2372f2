-- KEYS: u. Returns the user's sessions, each as key and record. Read only.
local list = {}
for _, key in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  local record = call('GET', ARGV[1] .. 's' .. key)
  if record then
    list[#list + 1] = key
    list[#list + 1] = record
  end
end
return list
