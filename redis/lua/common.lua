-- What several scripts need. Each script is this file and one of the others.
--
-- A script reads before it writes: while a cluster moves a slot, a command on a
-- key that is not there fails, and what was written before would stay.

-- The deadline that never comes.
local NEVER = 9007199254740991

-- How long after its deadline the engine frees what no server has removed.
local GRACE = 7 * 24 * 3600 * 1000

local call = redis.call

local micros
-- Microseconds since 1970, the same throughout a script.
local function clock()
  if not micros then
    local time = call('TIME')
    micros = time[1] * 1000000 + time[2]
  end
  return micros
end

-- When the engine is to free what has this deadline.
local function freed(deadline)
  return math.max(deadline, math.floor(clock() / 1000)) + GRACE
end

-- Has the engine free a key some time after deadline, but not before the time
-- that other contents of the key have asked for, unless it is new.
local function keep(key, deadline, new)
  if deadline >= NEVER then
    call('PERSIST', key)
  elseif new then
    call('PEXPIREAT', key, freed(deadline))
  else
    call('PEXPIREAT', key, freed(deadline), 'GT')
  end
end

-- Adds a member to a sorted set of things that end.
local function add(key, score, member, deadline)
  call('ZADD', key, score, member)
  keep(key, deadline, call('ZCARD', key) == 1)
end

local function count(base, what, n)
  if n ~= 0 then
    call('HINCRBY', base .. 'c', what, n)
  end
end

-- The last seen time, the deadline and the user or subnet of a record.
local function head(record)
  local seen, deadline, length = struct.unpack('>i8i8I4', string.sub(record, 2, 21))
  return seen, deadline, string.sub(record, 22, 21 + length)
end

-- A tab in the lists of what expires.
local function tabmember(owner, tab)
  return 't' .. struct.pack('>I4', #owner) .. owner .. tab
end

-- The list of what expires that a member is in. There are many, since the
-- engine keeps short sorted sets in a fraction of the memory.
local function bucket(member)
  if string.sub(member, 1, 1) == 't' then
    return 't'
  end
  return tostring(string.byte(member, -1) % 64)
end

-- Puts a member into its list or moves it there. In d each list has a time
-- before which nothing in it is due.
local function schedule(base, member, deadline)
  local name = bucket(member)
  if deadline >= NEVER then
    call('ZREM', base .. 'e' .. name, member)
    return
  end
  add(base .. 'e' .. name, deadline, member, deadline)
  call('ZADD', base .. 'd', 'LT', deadline, name)
  keep(base .. 'd', deadline, call('ZCARD', base .. 'd') == 1)
end

local function unschedule(base, member)
  return call('ZREM', base .. 'e' .. bucket(member), member) == 1
end

-- Reads what an owner has. Owners are 's' or 'b' and a key.
local function look(base, owner)
  return {
    owner = owner,
    record = call('GET', base .. owner),
    values = call('HLEN', base .. 'v' .. owner),
    tabs = call('ZRANGE', base .. 't' .. owner, 0, -1),
  }
end

-- Removes an owner that was looked at, with all that it has.
local function remove(base, o)
  if o.record then
    call('DEL', base .. o.owner)
  end
  if o.values > 0 then
    call('UNLINK', base .. 'v' .. o.owner)
    count(base, 'v', -o.values)
  end
  if #o.tabs > 0 then
    call('UNLINK', base .. 't' .. o.owner)
    for _, tab in ipairs(o.tabs) do
      unschedule(base, tabmember(o.owner, tab))
    end
  end
  if unschedule(base, o.owner) or o.record then
    count(base, string.sub(o.owner, 1, 1), -1)
  end
end

-- Reads sessions that are to end: those of the keys, and whether they exist.
local function looks(base, keys)
  local list = {}
  for i, key in ipairs(keys) do
    list[i] = look(base, 's' .. key)
  end
  return list
end

-- Sends a message to the servers. number says which message of the part it is,
-- last which one was before, so that a server knows when it has missed one.
local function publish(base, part, channel, origin, body)
  local last = tonumber(call('GET', base .. 'q') or 0)
  local number = math.max(last + 1, clock())
  call('SET', base .. 'q', number)
  call('PUBLISH', channel, struct.pack('>I2i8i8', part, last, number) .. origin .. body)
end

-- Ends the sessions of a list that looks made and tells the servers. It returns
-- them, each as key, record and how many sessions its user has left.
local function finish(base, list, reason, part, channel, origin)
  local ended, lists = {}, {}
  for _, o in ipairs(list) do
    local key = string.sub(o.owner, 2)
    remove(base, o)
    if o.record then
      local _, _, user = head(o.record)
      local users = base .. 'u' .. user
      call('ZREM', users, key)
      ended[#ended + 1] = key
      ended[#ended + 1] = o.record
      ended[#ended + 1] = users
      lists[users] = true
    end
  end
  for users in pairs(lists) do
    lists[users] = call('ZCARD', users)
  end
  local body = {}
  for i = 3, #ended, 3 do
    ended[i] = lists[ended[i]]
    body[#body + 1] = struct.pack('>I4I4', ended[i], #ended[i - 1]) .. ended[i - 2] .. ended[i - 1]
    if i == #ended or #body == 100 then
      publish(base, part, channel, origin, 'e' .. struct.pack('>I1', #reason) .. reason .. table.concat(body))
      body = {}
    end
  end
  return ended
end

-- Removes the values of a tab of an owner, or its own, if it has any.
local function drop(base, owner, tab)
  local values = base .. 'v' .. owner
  local start = struct.pack('>I4', #tab) .. tab
  local n = 0
  for _, field in ipairs(call('HKEYS', values)) do
    if string.sub(field, 1, #start) == start then
      call('HDEL', values, field)
      n = n + 1
    end
  end
  count(base, 'v', -n)
  if tab ~= '' then
    if n > 0 then
      call('ZREM', base .. 't' .. owner, tab)
    end
    unschedule(base, tabmember(owner, tab))
  end
end
