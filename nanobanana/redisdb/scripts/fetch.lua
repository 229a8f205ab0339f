-- Reads objects of one owner, by their ids or as one page of an index, together with the objects they
-- refer to, in one round trip.
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
local prefix, order = ARGV[1], ARGV[2]

for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 0 then return {at - 1} end
end

-- How many entries stand before the one behind (score, id), in ascending order; entries of one score stand
-- in the order of their ids, and there can be many of one. The entry itself may have left meanwhile.
local function entries_up_to(score, id, inclusive)
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', KEYS[1], score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call('ZRANGE', KEYS[1], middle, middle)[1]
    if member < id or (inclusive and member == id) then low = middle + 1 else high = middle end
  end
  return low
end

local function first_rank(total)
  local score, id = ARGV[5], ARGV[6]
  if score == '' then return tonumber(ARGV[3]) end
  if order == 'asc' then return entries_up_to(score, id, true) end
  return total - entries_up_to(score, id, false)
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

local function value_of(hash, field)
  for at = 1, #hash, 2 do
    if hash[at] == field then return hash[at + 1] end
  end
  return ''
end

local total, first, ids
if order == 'ids' then
  total, first, ids = named_ids()
else
  total, first, ids = page()
end

local objects, related, seen = {}, {}, {}
for _, id in ipairs(ids) do
  local hash = redis.call('HGETALL', prefix .. id)
  objects[#objects + 1] = id
  objects[#objects + 1] = hash
  for relation = 1, tonumber(ARGV[7]) do
    local field, start = ARGV[6 + 2 * relation], ARGV[7 + 2 * relation]
    for target in string.gmatch(value_of(hash, field), '[^,]+') do
      local key = start .. target
      if not seen[key] then
        seen[key] = true
        related[#related + 1] = key
        related[#related + 1] = redis.call('HGETALL', key)
      end
    end
  end
end
return {0, total, first, objects, related}
