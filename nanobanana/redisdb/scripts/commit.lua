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
--       exists | absent | equal field [value]  (no value: the field is absent)
--       differs n field value … field …  (n fields with a value, the rest absent)
--       when steps field [value]  (leaves out so many steps unless the field has the value before any write)
--       set field value … | unset field … | count field by zero-index member | index score member
--       unindex member … | delete | rename index-of-new-key | expire ms | persist
--       snapshot  (answers with the hash as it then stands)
--       event type audience ids n index-of-key …  (carries the hashes as they then stand)
-- Returns {'done' | 'unchanged', epoch, offset, {key, {field, value, …}, …}}
--      or {'refused', ordinal of the step that failed, counted from 1} or {'mismatch'}
local call = redis.call
local FIRST_STEP = 9
local CHUNK = 1000  -- arguments of one command: Lua cannot unpack 8,000
local LARGEST_COUNT = 2 ^ 53
local TYPES = {differs = 'hash', set = 'hash', unset = 'hash', count = 'hash', snapshot = 'hash',
               index = 'zset', unindex = 'zset', event = 'stream'}

local function holds_value(key, at, last)
  return (call('HGET', key, ARGV[at]) or nil) == (at < last and ARGV[at + 1] or nil)
end

local function read_steps()
  local steps, at, left_out = {}, FIRST_STEP, 0
  while ARGV[at] do
    local name, key, first = ARGV[at], KEYS[tonumber(ARGV[at + 1])], at + 3
    local last = at + 2 + tonumber(ARGV[at + 2])
    if left_out > 0 then
      left_out = left_out - 1
    elseif name ~= 'when' then
      steps[#steps + 1] = {name = name, key = key, first = first, last = last}
    elseif not holds_value(key, first + 1, last) then
      left_out = tonumber(ARGV[first])
    end
    at = last + 1
  end
  return steps
end

local types = {}
local function type_of(key)
  types[key] = types[key] or call('TYPE', key).ok
  return types[key]
end

local function differs(step)
  local first_absent = step.first + 1 + 2 * tonumber(ARGV[step.first])
  for at = step.first + 1, first_absent - 1, 2 do
    if call('HGET', step.key, ARGV[at]) ~= ARGV[at + 1] then return true end
  end
  for at = first_absent, step.last do
    if call('HEXISTS', step.key, ARGV[at]) == 1 then return true end
  end
  return false
end

-- What a counter will be; nil when what is stored is no count.
local counts = {}
local function count_after(step)
  local name = step.key .. ' ' .. ARGV[step.first]
  local stored = counts[name] or call('HGET', step.key, ARGV[step.first]) or '0'
  if not (stored == '0' or string.match(stored, '^[1-9]%d*$')) then return nil end
  local after = tonumber(stored) + tonumber(ARGV[step.first + 1])
  counts[name] = string.format('%.0f', after)
  return after
end

local something_differs  -- nil while no step asks
local expectations = {
  exists = function(step) return type_of(step.key) ~= 'none' end,
  absent = function(step) return type_of(step.key) == 'none' end,
  equal = function(step) return holds_value(step.key, step.first, step.last) end,
  differs = function(step)
    something_differs = something_differs or differs(step)
    return true
  end,
  count = function(step)
    local after = count_after(step)
    return after and after >= 0 and after <= LARGEST_COUNT
  end,
  rename = function(step)  -- what is written to the new key meets what stands under the old one
    types[KEYS[tonumber(ARGV[step.first])]] = type_of(step.key)
    return true
  end,
}

local function wrong_type(key, needed)
  local found = type_of(key)
  if found == needed or found == 'none' then return nil end
  return {err = 'WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. needed}
end

-- What fails in here has written nothing; what passes cannot fail while it is written.
local function failure(steps)
  for ordinal, step in ipairs(steps) do
    local needed = TYPES[step.name]
    local zero_index = step.name == 'count' and KEYS[tonumber(ARGV[step.first + 2])]
    local wrong = needed and wrong_type(step.key, needed) or zero_index and wrong_type(zero_index, 'zset')
    if wrong then return wrong end
    local holds = expectations[step.name]
    if holds and not holds(step) then return {'refused', ordinal} end
  end
end

local function in_chunks(command, step)
  for from = step.first, step.last, CHUNK do
    call(command, step.key, unpack(ARGV, from, math.min(from + CHUNK - 1, step.last)))
  end
end

local writes = {
  set = function(step) in_chunks('HSET', step) end,
  unset = function(step) in_chunks('HDEL', step) end,
  index = function(step) call('ZADD', step.key, ARGV[step.first], ARGV[step.first + 1]) end,
  unindex = function(step) in_chunks('ZREM', step) end,
  delete = function(step) call('UNLINK', step.key) end,
  rename = function(step) call('RENAME', step.key, KEYS[tonumber(ARGV[step.first])]) end,
  expire = function(step) call('PEXPIRE', step.key, ARGV[step.first]) end,
  persist = function(step) call('PERSIST', step.key) end,
  count = function(step)
    local value = call('HINCRBY', step.key, ARGV[step.first], ARGV[step.first + 1])
    local zero_index = KEYS[tonumber(ARGV[step.first + 2])]
    if not zero_index then return end
    if value == 0 then
      call('ZADD', zero_index, ARGV[3], ARGV[step.first + 3])
    else
      call('ZREM', zero_index, ARGV[step.first + 3])
    end
  end,
}

local snapshots = {}
local function snapshot(key)
  snapshots[key] = snapshots[key] or call('HGETALL', key)
  return snapshots[key]
end

local function read_log()
  local head = call('HMGET', KEYS[2], 'epoch', 'offset')
  local offset = tonumber(head[2])
  if not offset then return '', 0 end
  return head[1], offset
end

-- Memory that is full refuses the first write of a script and lets the rest pass, so this one comes first.
local function open_log(epoch)
  if epoch ~= '' then return epoch end
  call('HSET', KEYS[2], 'epoch', ARGV[4], 'offset', 0)
  call('UNLINK', KEYS[3])  -- events of a log that is gone have numbers that will be given again
  return ARGV[4]
end

local function event_entry(step)
  local entry = {'type', ARGV[step.first], 'audience', ARGV[step.first + 1], 'ids', ARGV[step.first + 2], 'at', ARGV[3]}
  local bare, size, bytes, most = #entry, #entry, 0, tonumber(ARGV[8])
  for at = step.first + 4, step.last do
    local key = KEYS[tonumber(ARGV[at])]
    entry[size + 1], entry[size + 2] = '@', key
    size = size + 2
    for _, part in ipairs(snapshot(key)) do
      size = size + 1
      entry[size] = part
      bytes = bytes + #part + 2  -- a stream adds two to each; so there are never more than Lua can unpack
    end
    if bytes > most then return {'partial', '1', unpack(entry, 1, bare)} end
  end
  return entry
end

local function append_events(steps, epoch, offset)
  local before = offset
  for _, step in ipairs(steps) do
    if step.name == 'event' then
      offset = offset + 1
      local id = string.format('%.0f-0', offset)
      call('XADD', step.key, 'MAXLEN', '~', ARGV[5], id, unpack(event_entry(step)))
    end
  end
  if offset == before then return offset end
  call('HINCRBY', KEYS[2], 'offset', offset - before)
  call('PEXPIRE', KEYS[3], ARGV[6])
  call('PUBLISH', ARGV[7], string.format('%s:%.0f', epoch, offset))
  return offset
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

-- A retry of our own is answered with what is stored then.
local function remember(result)
  if ARGV[2] ~= '' then
    call('SET', KEYS[1], cmsgpack.pack({ARGV[2], result}), 'PX', ARGV[1])
  elseif result[1] == 'done' then
    call('SET', KEYS[1], string.format('%s:%.0f', result[2], result[3]), 'PX', ARGV[1])
  end
end

local function recall(steps)
  local remembered = call('GET', KEYS[1])
  if not remembered then return nil end
  if ARGV[2] == '' then
    local epoch, offset = string.match(remembered, '^(%x+):(%d+)$')
    return answer('done', epoch, tonumber(offset), steps)
  end
  local fingerprint, kept = unpack(cmsgpack.unpack(remembered))
  return fingerprint == ARGV[2] and kept or {'mismatch'}
end

local steps = read_steps()
local result = recall(steps) or failure(steps)
if result then return result end
local epoch, offset = read_log()
if something_differs == false then
  result = answer('unchanged', epoch, offset, steps)
else
  epoch = open_log(epoch)
  for _, step in ipairs(steps) do
    local write = writes[step.name]
    if write then write(step) end
  end
  result = answer('done', epoch, append_events(steps, epoch, offset), steps)
end
remember(result)
return result
