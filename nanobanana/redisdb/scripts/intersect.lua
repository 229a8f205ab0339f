-- The entries of an index that other sorted sets list too; costs by the smallest of them.
--
-- KEYS  [1] the index, [2…] the others
-- ARGV  none
-- Returns {id, score in the index, …} in no order
local CHUNK = 1000

local smallest, size = KEYS[1], redis.call('ZCARD', KEYS[1])
for at = 2, #KEYS do
  local count = redis.call('ZCARD', KEYS[at])
  if count < size then smallest, size = KEYS[at], count end
end

-- The members of `found` that `key` lists, and their scores there.
local function listed_in(key, found)
  local scores = redis.call('ZMSCORE', key, unpack(found))
  local members, kept = {}, {}
  for at, score in ipairs(scores) do
    if score then
      members[#members + 1] = found[at]
      kept[#kept + 1] = score
    end
  end
  return members, kept
end

local entries = {}
for first = 0, size - 1, CHUNK do
  local found, scores = redis.call('ZRANGE', smallest, first, first + CHUNK - 1), {}
  for at = #KEYS, 1, -1 do
    if #found == 0 then break end
    found, scores = listed_in(KEYS[at], found)
  end
  for at, member in ipairs(found) do
    entries[#entries + 1] = member
    entries[#entries + 1] = scores[at]
  end
end
return entries
