-- Reads one page of the active branch of a session, with what its messages refer to. Stands behind
-- reading.lua and branches.lua.
--
-- KEYS  [1] the session's messages, [2] the session, [3] its edits
-- ARGV  [1] what the keys of messages start with
--       [2] order: 'asc' | 'desc'   [3] offset   [4] limit
--       [5] score and [6] id to start behind, '' for the offset's page
--       [7] number of relations, then for each: the field (ids joined by commas), what the keys start with
-- Returns {0, total, rank of the first, {id, {field, value, …}, …}, {key, {field, value, …}, …}}, as fetch.lua
--      or {1} when the session is absent
if redis.call('EXISTS', KEYS[2]) == 0 then return {1} end

local messages, order = KEYS[1], ARGV[2]
local ranges = hidden_ranges(messages, KEYS[3])
local entries = redis.call('ZCARD', messages)
local total = entries - hidden_before(ranges, entries)

local function shown_up_to(score, id, inclusive)
  local rank = entries_up_to(messages, score, id, inclusive)
  return rank - hidden_before(ranges, rank)
end

local function first_rank()
  local score, id = ARGV[5], ARGV[6]
  if score == '' then return tonumber(ARGV[3]) end
  if order == 'asc' then return shown_up_to(score, id, true) end
  return total - shown_up_to(score, id, false)
end

-- The ids between two ranks of the branch, oldest first: parts of the stretches between the hidden ranges.
local function shown_between(from, to)
  local ids, passed, start = {}, 0, 0
  for at = #ranges, 0, -1 do
    local range = ranges[at] or {entries, entries}
    local length = range[1] - start
    local first, last = math.max(from - passed, 0), math.min(to - passed, length) - 1
    if first <= last then
      for _, id in ipairs(redis.call('ZRANGE', messages, start + first, start + last)) do ids[#ids + 1] = id end
    end
    passed, start = passed + length, range[2]
  end
  return ids
end

local function reversed(ids)
  local turned = {}
  for at = #ids, 1, -1 do turned[#turned + 1] = ids[at] end
  return turned
end

local first, limit = first_rank(), tonumber(ARGV[4])
local ids
if order == 'asc' then
  ids = shown_between(first, first + limit)
else
  ids = reversed(shown_between(total - first - limit, total - first))
end
local objects, related = read_objects(ARGV[1], ids, 7)
return {0, total, first, objects, related}
