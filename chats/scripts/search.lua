-- Finds objects of one owner that have given terms, newest first, in one bounded step. What it finds are
-- candidates: whether their texts are what was asked for is for the caller to see.
--
-- KEYS  [1] the list of all terms, [2] what the keys of postings start with, [3] what the keys of the objects
--       start with, [4] what the keys of sessions start with
--       [5] a session that must exist, and whose objects alone count, [6] the list of its objects; or neither
-- ARGV  [1] from where, as ZREVRANGEBYLEX takes it: '+' or '(<id>', [2] to where: '-' or '[<id>'
--       [3] candidates at most   [4] the field that names an object's session, '' for sessions themselves
--       [5] a role, '' for any   [6] '1' with images, '0' without, '' for either
--       [7] entries to read, about, before it stops
--       then groups, of which a candidate has one term each: 'term' | 'prefix', the term
-- Returns {id to go on behind ('' when there is nothing more), {id, {field, value, …}, …},
--       {session id, {field, value, …}, …}}; or {} when the session is absent
--
-- Ids sort by time: in postings by their bytes (all scores are 0), in a session's list by a score that is as old.
local call = redis.call
local terms, stem, objects, sessions, own_list = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6]
local floor, most, session_field, role, has_image = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local FIRST_GROUP = 8
local CHUNK = 100  -- entries looked at together
local BYTES = 500000  -- of the objects of one answer, about
local EXPANSIONS = 1000  -- terms of a prefix; one with more is frequent, and left to the caller
local KEYS_TESTED, GROUPS_TESTED = 16, 6  -- what is left of other groups as well

if KEYS[5] and call('EXISTS', KEYS[5]) == 0 then return {} end

-- The keys of a group that are not empty, and how many entries each has, and all; nil for too many.
local function group_of(kind, term)
  local keys = {stem .. term}
  if kind == 'prefix' then
    keys = call('ZRANGEBYLEX', terms, '[' .. term, '(' .. term .. '\255', 'LIMIT', 0, EXPANSIONS + 1)
    if #keys > EXPANSIONS then return nil end
    for at, each in ipairs(keys) do keys[at] = stem .. each end
  end
  keys[#keys + 1] = stem .. '+'  -- objects with more terms than are indexed may have any
  local group = {keys = {}, sizes = {}, size = 0}
  for _, key in ipairs(keys) do
    local entries = call('ZCARD', key)
    if entries > 0 then
      group.keys[#group.keys + 1] = key
      group.sizes[#group.keys] = entries
      group.size = group.size + entries
    end
  end
  return group
end

local function group_of_key(key)
  local size = call('ZCARD', key)
  return {keys = {key}, sizes = {size}, size = size}
end

-- What it takes to go through a group: its entries, and a call for each key and chunk.
local function cost_of(group)
  return group.size + 20 * #group.keys
end

local function read_groups()
  local groups = {}
  for at = FIRST_GROUP, #ARGV, 2 do
    local group = group_of(ARGV[at], ARGV[at + 1])
    if group then groups[#groups + 1] = group end
  end
  if own_list then groups[#groups + 1] = group_of_key(own_list) end
  if #groups == 0 then groups[1] = group_of_key(stem .. '*') end
  table.sort(groups, function(one, other) return cost_of(one) < cost_of(other) end)
  return groups
end

-- How many entries of the session's list are not behind the position: its order is that of the ids.
local function rank_behind(from)
  if from == '+' then return 0 end
  local id, low, high = string.sub(from, 2), 0, call('ZCARD', own_list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if call('ZREVRANGE', own_list, middle, middle)[1] < id then high = middle else low = middle + 1 end
  end
  return low
end

local function entries_of(key, from, count)
  if key ~= own_list then return call('ZREVRANGEBYLEX', key, from, floor, 'LIMIT', 0, count) end
  local first, found = rank_behind(from), {}
  for _, id in ipairs(call('ZREVRANGE', key, first, first + count - 1)) do
    if floor == '-' or id >= string.sub(floor, 2) then found[#found + 1] = id end
  end
  return found
end

local walked = 0

-- The next ids that any key of the group lists, oldest first. Of each key as many are read as it is long; of
-- those that have more, only what is newer than the oldest read is sure to be complete.
local function chunk(group, from)
  local sure, ids, seen = '', {}, {}
  for at, key in ipairs(group.keys) do
    local most = 3 + math.ceil(CHUNK * group.sizes[at] / group.size)
    local found = entries_of(key, from, most)
    walked = walked + 1 + #found
    if #found == most and found[most] > sure then sure = found[most] end
    for _, id in ipairs(found) do
      if not seen[id] then
        seen[id] = true
        ids[#ids + 1] = id
      end
    end
  end
  table.sort(ids)
  local complete = {}
  for _, id in ipairs(ids) do
    if id >= sure then complete[#complete + 1] = id end
  end
  return complete
end

-- Those of the ids that a key of the group lists.
local function listed(ids, group)
  local is_listed, kept = {}, {}
  for _, key in ipairs(group.keys) do
    for first = 1, #ids, 1000 do
      local scores = call('ZMSCORE', key, unpack(ids, first, math.min(first + 999, #ids)))
      for at, score in ipairs(scores) do
        if score then is_listed[first + at - 1] = true end
      end
    end
  end
  for at, id in ipairs(ids) do
    if is_listed[at] then kept[#kept + 1] = id end
  end
  return kept
end

local function that_have_all(ids, groups)
  for at = 2, math.min(#groups, 1 + GROUPS_TESTED) do
    if #ids == 0 then break end
    if #groups[at].keys <= KEYS_TESTED then ids = listed(ids, groups[at]) end
  end
  return ids
end

local found_sessions, is_there = {}, {}
local function session_exists(id)
  if is_there[id] == nil then
    local hash = call('HGETALL', sessions .. id)
    is_there[id] = #hash > 0
    if is_there[id] then
      found_sessions[#found_sessions + 1] = id
      found_sessions[#found_sessions + 1] = hash
    end
  end
  return is_there[id]
end

local function is_candidate(id)
  if session_field == '' then return session_exists(id) end
  local session_id, its_role, image_ids = unpack(call('HMGET', objects .. id, session_field, 'role', 'image_ids'))
  if not session_id or (own_list and sessions .. session_id ~= KEYS[5]) then return false end
  if role ~= '' and its_role ~= role then return false end
  if has_image ~= '' and ((image_ids or '') ~= '') ~= (has_image == '1') then return false end
  return session_exists(session_id)
end

local candidates, bytes = {}, 0
local function take(id)
  local hash = session_field == '' and {} or call('HGETALL', objects .. id)
  for _, part in ipairs(hash) do bytes = bytes + #part end
  candidates[#candidates + 1] = id
  candidates[#candidates + 1] = hash
  return #candidates / 2 >= most or bytes > BYTES
end

local groups = read_groups()
if groups[1].size == 0 then return {'', candidates, found_sessions} end
local from = ARGV[1]
while walked < tonumber(ARGV[7]) do
  local ids = chunk(groups[1], from)
  if #ids == 0 then return {'', candidates, found_sessions} end
  local fitting = that_have_all(ids, groups)
  for at = #fitting, 1, -1 do
    if is_candidate(fitting[at]) and take(fitting[at]) then return {fitting[at], candidates, found_sessions} end
  end
  from = '(' .. ids[1]
end
return {string.sub(from, 2), candidates, found_sessions}
