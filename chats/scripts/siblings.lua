-- Reads the siblings of a message, with what they refer to: all versions of it, and when the first of them
-- answers another message, all answers of that role to it with their versions. Stands behind reading.lua and
-- branches.lua.
--
-- KEYS  [1] the session's messages, [2] its edits
-- ARGV  [1] what the keys of messages start with   [2] the message
--       [3] number of relations, then for each: the field (ids joined by commas), what the keys start with
-- Returns {id of the sibling on the active branch or '', {id, {field, value, …}, …},
--          {key, {field, value, …}, …}}, the siblings oldest first; none when the message is absent
local MOST_SIBLINGS = 100  -- the newest

local targets, roles = {}, {}
local function look_at(id)
  if roles[id] == nil then
    targets[id], roles[id] = unpack(redis.call('HMGET', ARGV[1] .. id, 'edited_of', 'role'))
  end
end

local function is_version(id)
  look_at(id)
  local target = targets[id]
  if not target then return false end
  look_at(target)
  return roles[target] == roles[id]
end

local function first_version(id)
  for _ = 1, MOST_EDITS do
    if not is_version(id) then break end
    id = targets[id]
  end
  return id
end

-- A target stands before its edits, so going from the oldest to the newest finds the edits of edits.
local function family_of(first)
  local members, is_member, answered = {first}, {[first] = true}, targets[first]
  local edits = redis.call('ZREVRANGE', KEYS[2], 0, MOST_EDITS - 1)
  for at = #edits, 1, -1 do
    local id = edits[at]
    look_at(id)
    local target = targets[id]
    local belongs = target and (is_member[target] or target == answered)
    if belongs and roles[id] == roles[first] and not is_member[id] then
      members[#members + 1], is_member[id] = id, true
    end
  end
  table.sort(members)
  return {unpack(members, math.max(1, #members - MOST_SIBLINGS + 1))}
end

local function active_of(members)
  local ranges = hidden_ranges(KEYS[1], KEYS[2])
  for at = #members, 1, -1 do
    local rank = rank_of(KEYS[1], members[at])
    if hidden_before(ranges, rank) == hidden_before(ranges, rank + 1) then return members[at] end
  end
  return ''
end

look_at(ARGV[2])
if not roles[ARGV[2]] then return {'', {}, {}} end
local siblings = family_of(first_version(ARGV[2]))
return {active_of(siblings), read_objects(ARGV[1], siblings, 3)}
