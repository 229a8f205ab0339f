-- Which messages of a session its active branch leaves out; for scripts behind redisdb's libraries/reading.lua.
--
-- An edit hides what stands between its target and itself. Of the same role it is a version of the target: it
-- hides that too, and all that the target hid as an edit, whose place it takes. A hidden edit hides nothing else,
-- so the ranges are disjoint when one looks at the newest edit first.
local MOST_EDITS = 1000  -- that are looked at, the newest first
local steps_left = 2 * MOST_EDITS  -- one for an edit, one for each message it goes back to
local DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

-- The score of the message with this id: a message is as old as its id.
local function score_of(id)
  local milliseconds = 0
  for at = 1, 10 do
    milliseconds = milliseconds * 32 + string.find(DIGITS, string.sub(id, at, at), 1, true) - 1
  end
  return string.format('%.0f', milliseconds)
end

-- How many entries stand before the message, or up to it; it may have been deleted.
local function rank_of(index, id, inclusive)
  return entries_up_to(index, score_of(id), id, inclusive)
end

-- Where the range that an edit hides starts, and whether the message there stays. Of what was deleted the role
-- is not known, but it cannot be hidden either.
local function start_of(target, role, prefix)
  while steps_left > 0 do
    steps_left = steps_left - 1
    local earlier, its_role = unpack(redis.call('HMGET', prefix .. target, 'edited_of', 'role'))
    if its_role ~= role then return target, true end
    if not earlier then return target, false end
    target = earlier
  end
  return target, false
end

-- The hidden ranges as {rank of the first, rank behind the last}, the newest first. Costs by the number of
-- edits, whatever the number of messages.
local function hidden_ranges(messages, edits, prefix)
  local ranges, left = {}, redis.call('ZCARD', edits)
  while left > 0 and steps_left > 0 do
    steps_left = steps_left - 1
    local edit = redis.call('ZRANGE', edits, left - 1, left - 1)[1]
    local target, role = unpack(redis.call('HMGET', prefix .. edit, 'edited_of', 'role'))
    left = left - 1
    if target then
      local start, stays = start_of(target, role, prefix)
      local low, high = rank_of(messages, start, stays), rank_of(messages, edit, false)
      if low < high then ranges[#ranges + 1] = {low, high} end
      left = math.min(left, rank_of(edits, start, stays))
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
