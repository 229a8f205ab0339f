-- Commits one unit of work of one owner: checks everything, then writes everything, appends the events,
-- rings the doorbell and remembers the operation. Every key is in the owner's slot.
--
-- KEYS  [1] operation, [2] log {epoch, offset}, [3] events (stream), [4…] the keys the steps name
-- ARGV  [1] how long the operation is remembered, ms   [2] its fingerprint ('' for our own retries, whose
--           plan is the same; else the answer itself is remembered, for the plan of a later request differs)
--       [3] now, ms   [4] an epoch, should the log be new   [5] events kept   [6] how long, ms
--       [7] the doorbell's channel   [8] bytes of objects an event carries at most
--       then steps: name, index of its key in KEYS, number of arguments, arguments
-- Steps, in this order:
--       exists | absent | equal field value | differs n field value … field …  (the rest are to be absent)
--       when field value steps  (skips so many steps unless the field has the value)
--       set field value … | unset field … | count field by zero-index member | index score member
--       unindex member … | delete | rename index-of-new-key | expire ms | persist
--       snapshot  (answers with the hash as it then stands)
--       event type audience ids n index-of-key …  (carries the hashes as they then stand)
-- Returns {'done' | 'unchanged', epoch, offset, {key, {field, value, …}, …}}
--      or {'refused', ordinal of the step that failed, counted from 1} or {'mismatch'}
local FIRST_STEP = 9
local TYPES = {equal = 'hash', differs = 'hash', when = 'hash', set = 'hash', unset = 'hash', count = 'hash',
               snapshot = 'hash', index = 'zset', unindex = 'zset'}
local CHUNK = 1000

local function read_steps()
  local steps, at = {}, FIRST_STEP
  while at <= #ARGV do
    local count = tonumber(ARGV[at + 2])
    steps[#steps + 1] = {name = ARGV[at], key = KEYS[tonumber(ARGV[at + 1])], first = at + 3, last = at + 2 + count}
    at = at + 3 + count
  end
  return steps
end

local function in_chunks(command, key, first, last)
  for from = first, last, CHUNK do
    redis.call(command, key, unpack(ARGV, from, math.min(from + CHUNK - 1, last)))
  end
end

local expectations = {
  exists = function(step) return redis.call('EXISTS', step.key) == 1 end,
  absent = function(step) return redis.call('EXISTS', step.key) == 0 end,
  equal = function(step) return (redis.call('HGET', step.key, ARGV[step.first]) or '') == ARGV[step.first + 1] end,
  -- A counter never goes below zero, whatever the plan says.
  count = function(step)
    local value = tonumber(redis.call('HGET', step.key, ARGV[step.first]) or '0')
    return value ~= nil and value + tonumber(ARGV[step.first + 1]) >= 0
  end,
}

local function differs(step)
  local first_absent = step.first + 1 + 2 * tonumber(ARGV[step.first])
  for at = step.first + 1, first_absent - 1, 2 do
    if redis.call('HGET', step.key, ARGV[at]) ~= ARGV[at + 1] then return true end
  end
  for at = first_absent, step.last do
    if redis.call('HEXISTS', step.key, ARGV[at]) == 1 then return true end
  end
  return false
end

local function check(steps)
  local changes = true
  for ordinal, step in ipairs(steps) do
    local needed, found = TYPES[step.name], nil
    if needed then found = redis.call('TYPE', step.key).ok end
    if found and found ~= needed and found ~= 'none' then
      return nil, {err = 'WRONGTYPE ' .. step.key .. ' is a ' .. found .. ', not a ' .. needed}
    end
    local holds = expectations[step.name]
    if holds and not holds(step) then return nil, {'refused', ordinal} end
    if step.name == 'differs' then changes = differs(step) end
  end
  return changes
end

local writes = {
  set = function(step) in_chunks('HSET', step.key, step.first, step.last) end,
  unset = function(step) in_chunks('HDEL', step.key, step.first, step.last) end,
  index = function(step) redis.call('ZADD', step.key, unpack(ARGV, step.first, step.last)) end,
  unindex = function(step) in_chunks('ZREM', step.key, step.first, step.last) end,
  delete = function(step) redis.call('UNLINK', step.key) end,
  rename = function(step) redis.call('RENAME', step.key, KEYS[tonumber(ARGV[step.first])]) end,
  expire = function(step) redis.call('PEXPIRE', step.key, ARGV[step.first]) end,
  persist = function(step) redis.call('PERSIST', step.key) end,
  count = function(step)
    local value = redis.call('HINCRBY', step.key, ARGV[step.first], ARGV[step.first + 1])
    local zero_index = KEYS[tonumber(ARGV[step.first + 2])]
    if not zero_index then return end
    if value == 0 then
      redis.call('ZADD', zero_index, ARGV[3], ARGV[step.first + 3])
    else
      redis.call('ZREM', zero_index, ARGV[step.first + 3])
    end
  end,
}

local function write(steps)
  local at = 1
  while at <= #steps do
    local step = steps[at]
    if step.name == 'when' and redis.call('HGET', step.key, ARGV[step.first]) ~= ARGV[step.first + 1] then
      at = at + tonumber(ARGV[step.first + 2])
    elseif writes[step.name] then
      writes[step.name](step)
    end
    at = at + 1
  end
end

local snapshots = {}
local function snapshot(key)
  snapshots[key] = snapshots[key] or redis.call('HGETALL', key)
  return snapshots[key]
end

local function open_log()
  local epoch = redis.call('HGET', KEYS[2], 'epoch')
  if epoch then return epoch end
  redis.call('UNLINK', KEYS[3])  -- events of a log that is gone have numbers that would be given again
  redis.call('HSET', KEYS[2], 'epoch', ARGV[4], 'offset', 0)
  return ARGV[4]
end

local function event_entry(step)
  local entry = {'type', ARGV[step.first], 'audience', ARGV[step.first + 1], 'ids', ARGV[step.first + 2], 'at', ARGV[3]}
  local bare, bytes = #entry, 0
  for at = step.first + 4, step.last do
    local key = KEYS[tonumber(ARGV[at])]
    entry[#entry + 1] = '@'
    entry[#entry + 1] = key
    for _, part in ipairs(snapshot(key)) do
      entry[#entry + 1] = part
      bytes = bytes + #part
    end
  end
  if bytes <= tonumber(ARGV[8]) then return entry end
  return {'partial', '1', unpack(entry, 1, bare)}
end

local function append_events(steps)
  local epoch, offset = open_log(), nil
  for _, step in ipairs(steps) do
    if step.name == 'event' then
      offset = redis.call('HINCRBY', KEYS[2], 'offset', 1)
      redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], offset .. '-0', unpack(event_entry(step)))
    end
  end
  if not offset then return epoch, tonumber(redis.call('HGET', KEYS[2], 'offset')) end
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
  redis.call('PUBLISH', ARGV[7], epoch .. ':' .. offset)
  return epoch, offset
end

local function answer(status, epoch, offset, steps)
  local objects = {}
  for _, step in ipairs(steps) do
    if step.name == 'snapshot' then
      objects[#objects + 1] = step.key
      objects[#objects + 1] = snapshot(step.key)
    end
  end
  return {status, epoch, offset, objects}
end

local function remember(result)
  local kept = ARGV[2] == '' and {result[1], result[2], result[3]} or result
  redis.call('SET', KEYS[1], cmsgpack.pack({ARGV[2], kept}), 'PX', ARGV[1])
end

local function recall(steps)
  local remembered = redis.call('GET', KEYS[1])
  if not remembered then return nil end
  local fingerprint, kept = unpack(cmsgpack.unpack(remembered))
  if fingerprint ~= ARGV[2] then return {'mismatch'} end
  if fingerprint ~= '' then return kept end
  return answer(kept[1], kept[2], kept[3], steps)
end

local steps = read_steps()
local recalled = recall(steps)
if recalled then return recalled end
local changes, failure = check(steps)
if failure then return failure end
local result
if changes then
  write(steps)
  local epoch, offset = append_events(steps)
  result = answer('done', epoch, offset, steps)
else
  result = answer('unchanged', redis.call('HGET', KEYS[2], 'epoch') or '', tonumber(redis.call('HGET', KEYS[2], 'offset') or '0'), steps)
end
remember(result)
return result
