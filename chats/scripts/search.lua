-- Finds objects of one owner that have given terms, newest first, in one bounded step. What it finds are
-- candidates: whether their texts are what was asked for is for the caller to see.
--
-- KEYS  [1] the list of all terms, [2] what the keys of postings start with, [3] what the keys of the objects
--       start with, [4] what the keys of sessions start with
--       [5] a session that must exist, and whose objects alone count, [6] the list of its objects; or neither
-- ARGV  [1] from where, as ZREVRANGEBYLEX takes it: '+' or '(<id>', [2] to where: '-' or '[<id>'
--       [3] candidates at most   [4] the field that names an object's session, '' for sessions themselves
--       [5] a role, '' for any   [6] '1' with images, '0' without, '' for either
--       then groups, of which a candidate has one term each: 'term' | 'prefix', the term
-- Returns {id to go on behind ('' when there is nothing more), {id, {field, value, …}, …}, {session id, {field, …}, …}}
--      or {} when the session is absent
--
-- Ids sort by time, in postings by their bytes (all scores are 0), in a session's list by a score that says the same.
local call = redis.call
local terms, stem, objects, sessions, own_list = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6]
local floor, most, session_field, role, has_image = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local FIRST_GROUP = 7
local CHUNK = 100  -- entries looked at together
local WALKED = 3000  -- entries read in one call
local BYTES = 500000  -- of the objects of one answer, about
local EXPANSIONS = 100  -- terms of a prefix; one with more is left to the caller
local KEYS_TESTED, GROUPS_TESTED = 16, 6  -- what is left of other groups as well

if KEYS[5] and call('EXISTS', KEYS[5]) == 0 then return {} end

-- The keys of a group, and how many entries they have; nil for too many.
local function group_of(kind, term)
  local keys, size = {stem .. term}, 0
  if kind == 'prefix' then
    keys = call('ZRANGEBYLEX', terms, '[' .. term, '(' .. term .. '\255', 'LIMIT', 0, EXPANSIONS + 1)
    if #keys > EXPANSIONS then return nil end
    for at, each in ipairs(keys) do keys[at] = stem .. each end
  end
  keys[#keys + 1] = stem .. '+'  -- objects with more terms than are indexed may have any
  local filled = {}
  for _, key in ipairs(keys) do
    local entries = call('ZCARD', key)
    if entries > 0 then filled[#filled + 1] = key end
    size = size + entries
  end
  return {keys = filled, size = size}
end

local function read_groups()
  local groups = {}
  for at = FIRST_GROUP, #ARGV, 2 do
    local group = group_of(ARGV[at], ARGV[at + 1])
    if group then groups[#groups + 1] = group end
  end
  if own_list then groups[#groups + 1] = {keys = {own_list}, size = call('ZCARD', own_list)} end
  if #groups == 0 then groups[1] = {keys = {stem .. '*'}, size = 1} end
  table.sort(groups, function(one, other) return one.size < other.size end)
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

-- The next ids that any of the keys lists, newest first. Of keys that have more, only what is newer than the
-- oldest read of each is sure to be complete.
local function chunk(keys, from)
  local each, sure, ids, seen = math.ceil(CHUNK / #keys) + 20, '', {}, {}
  for _, key in ipairs(keys) do
    local found = entries_of(key, from, each)
    walked = walked + 1 + #found
    if #found == each and found[each] > sure then sure = found[each] end
    for _, id in ipairs(found) do
      if not seen[id] then
        seen[id] = true
        ids[#ids + 1] = id
      end
    end
  end
  if #keys == 1 then return ids end
  table.sort(ids, function(one, other) return one > other end)
  while #ids > 0 and ids[#ids] < sure do ids[#ids] = nil end
  return ids
end

-- Those of the ids that a key of the group lists.
local function listed(ids, group)
  local is_listed, kept = {}, {}
  for _, key in ipairs(group.keys) do
    for at, score in ipairs(call('ZMSCORE', key, unpack(ids))) do
      if score then is_listed[at] = true end
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
while walked < WALKED do
  local ids = chunk(groups[1].keys, from)
  if #ids == 0 then return {'', candidates, found_sessions} end
  for _, id in ipairs(that_have_all(ids, groups)) do
    if is_candidate(id) and take(id) then return {id, candidates, found_sessions} end
  end
  from = '(' .. ids[#ids]
end
return {string.sub(from, 2), candidates, found_sessions}
