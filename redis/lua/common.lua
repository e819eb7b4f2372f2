-- What several scripts need. Each script is this file and one of the others.
--
-- Scripts read before they write where they can: while a cluster moves a slot, a
-- command on a key that is not there fails, and what was written before stays.

-- The deadline that never comes.
local NEVER = 9007199254740991

-- How long after its deadline the engine frees what no server has removed.
local GRACE = 7 * 24 * 3600 * 1000

local call = redis.call

-- Has a full engine run the rest of a script. It refuses what may need memory
-- until a script has written something that needs none: that key, one of c and
-- q, is kept for ever anyway.
local function insist(key)
  call('PERSIST', key)
end

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

-- Calls a command with a key, if it is not nil, and a list, however long.
-- Returns the sum of the answers if they are numbers, or all of them.
local function many(command, key, list)
  local sum, all = 0, {}
  for i = 1, #list, 1000 do
    local last = math.min(i + 999, #list)
    local answer
    if key then
      answer = call(command, key, unpack(list, i, last))
    else
      answer = call(command, unpack(list, i, last))
    end
    if type(answer) == 'number' then
      sum = sum + answer
    else
      for j, x in ipairs(answer) do
        all[i + j - 1] = x
      end
    end
  end
  return sum, all
end

-- Reads what owners have. Owners are 's' or 'b' and a key.
local function look(base, owners)
  local names, lists, found = {}, {}, {}
  for i, owner in ipairs(owners) do
    names[i] = base .. owner
    lists[2 * i - 1] = base .. 'v' .. owner
    lists[2 * i] = base .. 't' .. owner
  end
  local _, records = many('MGET', nil, names)
  local some = many('EXISTS', nil, lists) > 0
  for i, owner in ipairs(owners) do
    local o = { owner = owner, record = records[i], values = 0, tabs = {} }
    if some then
      o.values = call('HLEN', base .. 'v' .. owner)
      o.tabs = call('ZRANGE', base .. 't' .. owner, 0, -1)
    end
    found[i] = o
  end
  return found
end

-- Removes owners of one kind that were looked at, with all that they have.
local function remove(base, list)
  local keys, members, values, owners = {}, {}, 0, 0
  local function leave(member)
    local name = bucket(member)
    members[name] = members[name] or {}
    table.insert(members[name], member)
  end
  for _, o in ipairs(list) do
    if o.record then
      keys[#keys + 1] = base .. o.owner
      owners = owners + 1
      leave(o.owner)
    elseif unschedule(base, o.owner) then -- the engine has freed it
      owners = owners + 1
    end
    if o.values > 0 then
      keys[#keys + 1] = base .. 'v' .. o.owner
      values = values + o.values
    end
    if #o.tabs > 0 then
      keys[#keys + 1] = base .. 't' .. o.owner
      for _, tab in ipairs(o.tabs) do
        leave(tabmember(o.owner, tab))
      end
    end
  end
  many('UNLINK', nil, keys)
  for name, all in pairs(members) do
    many('ZREM', base .. 'e' .. name, all)
  end
  count(base, 'v', -values)
  if owners > 0 then
    count(base, string.sub(list[1].owner, 1, 1), -owners)
  end
end

-- Removes browsers and returns those that there were, each as key and subnet.
local function removebrowsers(base, owners)
  local list = look(base, owners)
  remove(base, list)
  local gone = {}
  for _, o in ipairs(list) do
    if o.record then
      local _, _, subnet = head(o.record)
      gone[#gone + 1] = string.sub(o.owner, 2)
      gone[#gone + 1] = subnet
    end
  end
  return gone
end

-- Sends a message to the servers. number says which message of the part it is,
-- last which one was before, so that a server knows when it has missed one.
local function publish(base, part, channel, origin, body)
  local last = tonumber(call('GET', base .. 'q') or 0)
  local number = math.max(last + 1, clock())
  call('SET', base .. 'q', number)
  call('PUBLISH', channel, struct.pack('>I2i8i8', part, last, number) .. origin .. body)
end

-- Ends the sessions of these keys and tells the servers. It returns them, each
-- as key, record and how many sessions its user has left. If list is given, it
-- is the user's list, and keys whose records the engine has freed leave it.
local function finish(base, keys, list, reason, part, channel, origin)
  local owners = {}
  for i, key in ipairs(keys) do
    owners[i] = 's' .. key
  end
  local found = look(base, owners)
  remove(base, found)
  local ended, lists, left = {}, {}, {}
  for i, o in ipairs(found) do
    local users = list
    if o.record then
      local _, _, user = head(o.record)
      users = base .. 'u' .. user
      ended[#ended + 1] = keys[i]
      ended[#ended + 1] = o.record
      ended[#ended + 1] = users
    end
    if users then
      lists[users] = lists[users] or {}
      table.insert(lists[users], keys[i])
    end
  end
  for users, gone in pairs(lists) do
    many('ZREM', users, gone)
    left[users] = call('ZCARD', users)
  end
  local body = {}
  for i = 3, #ended, 3 do
    ended[i] = left[ended[i]]
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
