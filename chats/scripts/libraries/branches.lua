-- Which messages of a session its active branch leaves out; for scripts behind redisdb's libraries/reading.lua.
--
-- An edit E of X hides what stands from X to E, X too when both have the same role: E replaces it then, and
-- else follows it. A hidden edit hides nothing. Seen from the newest edit on, the ranges are disjoint.
local MOST_EDITS = 1000  -- that are not hidden themselves: how many are looked at, the newest first
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

-- The hidden ranges as {rank of the first, rank behind the last}, the newest first. Costs by the edits that
-- are not hidden, whatever the number of messages.
local function hidden_ranges(messages, edits, prefix)
  local ranges, left = {}, redis.call('ZCARD', edits)
  for _ = 1, MOST_EDITS do
    if left < 1 then break end
    local edit = redis.call('ZRANGE', edits, left - 1, left - 1)[1]
    local target, role = unpack(redis.call('HMGET', prefix .. edit, 'edited_of', 'role'))
    left = left - 1
    if target then
      local follows = redis.call('HGET', prefix .. target, 'role') ~= role
      local low, high = rank_of(messages, target, follows), rank_of(messages, edit, false)
      if low < high then ranges[#ranges + 1] = {low, high} end
      left = math.min(left, rank_of(edits, target, follows))
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
