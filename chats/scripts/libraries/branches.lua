-- Which messages of a session its active branch leaves out; for scripts behind redisdb's libraries/reading.lua
-- whose ARGV [1] is what the keys of messages start with.
--
-- An edit hides what stands between its target and itself. Of the same role it is a version of the target: it
-- hides that too, and all that the target hid as an edit, whose place it takes. A hidden edit hides nothing else,
-- so the ranges are disjoint when one looks at the newest edit first.
local MOST_EDITS = 1000  -- that are looked at, the newest
local steps_left = 2 * MOST_EDITS  -- back from an edit to its target, in all
local DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

-- The score of the message with this id: a message is as old as its id, and so ids sort like messages.
local function score_of(id)
  local milliseconds = 0
  for at = 1, 10 do
    milliseconds = milliseconds * 32 + string.find(DIGITS, string.sub(id, at, at), 1, true) - 1
  end
  return string.format('%.0f', milliseconds)
end

-- How many messages stand before this one, which may have been deleted.
local function rank_of(messages, id)
  return redis.call('ZRANK', messages, id) or entries_up_to(messages, score_of(id), id, false)
end

-- Where the range that an edit hides starts, and whether there is a message that stays. The role of one that was
-- deleted is not known, nor does it matter.
local function start_of(target, role)
  while steps_left > 0 do
    steps_left = steps_left - 1
    local earlier, its_role = unpack(redis.call('HMGET', ARGV[1] .. target, 'edited_of', 'role'))
    if its_role ~= role then return target, its_role end
    if not earlier then return target, false end
    target = earlier
  end
  return target, false
end

-- The hidden ranges as {rank of the first, rank behind the last}, the newest first. Costs by the number of
-- edits, whatever the number of messages.
local function hidden_ranges(messages, edits)
  local ranges, lowest = {}, '~'  -- behind every id
  for _, edit in ipairs(redis.call('ZREVRANGE', edits, 0, MOST_EDITS - 1)) do
    if edit < lowest then
      local start, stays = start_of(unpack(redis.call('HMGET', ARGV[1] .. edit, 'edited_of', 'role')))
      local first, behind = rank_of(messages, start), rank_of(messages, edit)
      if stays then first = first + 1 end
      if first < behind then ranges[#ranges + 1] = {first, behind} end
      lowest = stays and start .. ' ' or start  -- what stays may be an edit itself
    end
  end
  return ranges
end

-- How many messages before this rank are hidden.
local function hidden_before(ranges, rank)
  local count = 0
  for _, range in ipairs(ranges) do
    count = count + math.max(0, math.min(rank, range[2]) - range[1])
  end
  return count
end
