-- KEYS: s or b of each touch. Base, owner, tab, last seen and deadline of each
-- follow one another. Returns the browsers that were seen later than known,
-- each as key, subnet, last seen and deadline.
local moved = {}
insist(ARGV[1] .. 'c')
for i = 1, #ARGV, 5 do
  local base, owner, tab, seen, deadline = unpack(ARGV, i, i + 4)
  seen, deadline = tonumber(seen), tonumber(deadline)
  if tab ~= '' then
    local old = call('ZSCORE', base .. 't' .. owner, tab)
    if old and deadline > tonumber(old) then
      call('ZADD', base .. 't' .. owner, deadline, tab)
      schedule(base, tabmember(owner, tab), deadline)
    end
  else
    local record = call('GET', base .. owner)
    if record then
      local oldseen, olddeadline, name = head(record)
      seen, deadline = math.max(seen, oldseen), math.max(deadline, olddeadline)
      if seen > oldseen or deadline > olddeadline then
        local key = string.sub(owner, 2)
        call('SETRANGE', base .. owner, 1, struct.pack('>i8i8', seen, deadline))
        if deadline > olddeadline then
          keep(base .. owner, deadline)
          keep(base .. 'v' .. owner, deadline)
          keep(base .. 't' .. owner, deadline)
          schedule(base, owner, deadline)
        end
        if string.sub(owner, 1, 1) == 'b' then
          moved[#moved + 1] = key
          moved[#moved + 1] = name
          moved[#moved + 1] = seen
          moved[#moved + 1] = deadline
        else
          add(base .. 'u' .. name, seen, key, deadline)
        end
      end
    end
  end
end
return moved
