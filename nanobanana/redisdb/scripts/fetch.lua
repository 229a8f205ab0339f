-- Reads objects of one owner, by their ids or as one page of an index, together with the objects they
-- refer to, in one round trip. Stands behind libraries/reading.lua.
--
-- KEYS  [1] the index, [2…] keys that must exist
-- ARGV  [1] what the keys of the objects start with
--       [2] order: 'asc' | 'desc' | 'ids'   [3] offset   [4] limit
--       [5] score and [6] id to start behind, '' for the offset's page
--       [7] number of relations, then for each: the field (ids joined by commas), what the keys start with
--       then, in the order 'ids', the ids
-- Returns {0, total, rank of the first, {id, {field, value, …}, …}, {key, {field, value, …}, …}}
--      or {ordinal of the required key that is absent, counted from 1}
-- An id without an object has an empty hash.
local order = ARGV[2]

for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 0 then return {at - 1} end
end

local function first_rank(total)
  local score, id = ARGV[5], ARGV[6]
  if score == '' then return tonumber(ARGV[3]) end
  if order == 'asc' then return entries_up_to(KEYS[1], score, id, true) end
  return total - entries_up_to(KEYS[1], score, id, false)
end

local function page()
  local total = redis.call('ZCARD', KEYS[1])
  local first = first_rank(total)
  local command = order == 'asc' and 'ZRANGE' or 'ZREVRANGE'
  return total, first, redis.call(command, KEYS[1], first, first + tonumber(ARGV[4]) - 1)
end

local function named_ids()
  local ids, first = {}, 8 + 2 * tonumber(ARGV[7])
  for at = first, #ARGV do ids[#ids + 1] = ARGV[at] end
  return #ids, 0, ids
end

local total, first, ids
if order == 'ids' then
  total, first, ids = named_ids()
else
  total, first, ids = page()
end
local objects, related = read_objects(ARGV[1], ids, 7)
return {0, total, first, objects, related}
