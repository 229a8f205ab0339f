-- Commits one unit of work of one owner: checks everything, then writes everything, appends the events,
-- rings the doorbell and remembers the operation. Every key is in the owner's slot.
--
-- KEYS  [1] operation, [2] log {epoch, offset}, [3] events (stream), [4…] the keys the steps name
-- ARGV  [1] how long the operation is remembered, ms   [2] its fingerprint ('' for our own retries, whose
--           plan is the same; else the answer itself is remembered, for the plan of a later request differs)
--       [3] now, ms   [4] an epoch, should the log be new   [5] events kept   [6] how long, ms
--       [7] the doorbell's channel   [8] bytes of objects and their keys an event carries at most
--       [9] how many events the doorbell carries at most
--       then steps: name, index of its key in KEYS, number of arguments, arguments
-- Steps, in this order:
--       exists | absent | equal field [value]  (no value: the field is absent) | at_most field number
--       differs n field value … field …  (n fields with a value, the rest absent)
--       when steps field [value]  (leaves out so many steps unless the field has the value before any write)
--       set field value … | unset field … | count field by zero-index member | index score member
--       rescore score member  (if it is listed) | unindex member … | delete | rename index-of-new-key
--       expire ms | persist
--       post index-of-stem member term … | unpost index-of-stem member term …  (the key is the list of all terms,
--       stem .. term that of a term's postings: beyond KEYS, but in the same slot)
--       snapshot  (answers with the hash as it then stands)
--       event type audience ids n index-of-key …  (carries the hashes as they then stand)
-- Returns {'done' | 'unchanged', epoch, offset, {key, {field, value, …}, …}}
--      or {'refused', ordinal of the step that failed, counted from 1} or {'mismatch'}
--
-- The commit path of every request: it makes few tables and functions, for making them is half its cost.
local call = redis.call
local FIRST_STEP = 10
local CHUNK = 1000  -- arguments of one command: Lua cannot unpack 8,000
local LARGEST_COUNT = 2 ^ 53 - 1
-- Asks for the size of what a step writes to, only because Redis refuses when it is of another type.
local SIZE_OF = {differs = 'HLEN', set = 'HLEN', unset = 'HLEN', count = 'HLEN', snapshot = 'HLEN',
                 index = 'ZCARD', rescore = 'ZCARD', unindex = 'ZCARD', event = 'XLEN', post = 'ZCARD', unpost = 'ZCARD'}

local left_out = {}  -- ordinals of the steps behind a `when` that does not hold
local function each_step(act)
  local at, ordinal = FIRST_STEP, 1
  while ARGV[at] do
    local last = at + 2 + tonumber(ARGV[at + 2])
    if not left_out[ordinal] then
      local result = act(ARGV[at], KEYS[tonumber(ARGV[at + 1])], at + 3, last, ordinal)
      if result then return result end
    end
    at, ordinal = last + 1, ordinal + 1
  end
end

local function has_value(key, at, last)
  return (call('HGET', key, ARGV[at]) or nil) == (at < last and ARGV[at + 1] or nil)
end

local function differs(key, first, last)
  local first_absent = first + 1 + 2 * tonumber(ARGV[first])
  for at = first + 1, first_absent - 1, 2 do
    if call('HGET', key, ARGV[at]) ~= ARGV[at + 1] then return true end
  end
  for at = first_absent, last do
    if call('HEXISTS', key, ARGV[at]) == 1 then return true end
  end
  return false
end

local counts = {}  -- what the counters will be after the steps checked so far
local function is_countable(key, field, by)
  local name = key .. ' ' .. field
  local stored = counts[name] or call('HGET', key, field) or '0'
  if not (stored == '0' or string.match(stored, '^[1-9]%d*$')) then return false end
  local after = tonumber(stored) + tonumber(by)
  counts[name] = string.format('%.0f', after)
  return after >= 0 and after <= LARGEST_COUNT
end

local sizes, renamed = {}, {}
local function require_type(key, command)
  key = renamed[key] or key
  sizes[key] = sizes[key] or call(command, key)
end

local is_new = {}  -- keys of postings that do not exist, and whose terms are in no list
local function require_postings(first, last)
  local stem = KEYS[tonumber(ARGV[first])]
  for at = first + 2, last do
    local postings = stem .. ARGV[at]
    if call('ZCARD', postings) == 0 then is_new[postings] = true end
  end
end

local function is_at_most(key, field, most)
  return tonumber(call('HGET', key, field) or '0') <= tonumber(most)
end

local something_differs  -- nil while no step asks
local function holds(name, key, first, last)
  if name == 'exists' then return call('EXISTS', key) == 1 end
  if name == 'absent' then return call('EXISTS', key) == 0 end
  if name == 'equal' then return has_value(key, first, last) end
  if name == 'at_most' then return is_at_most(key, ARGV[first], ARGV[first + 1]) end
  if name == 'differs' then
    something_differs = something_differs or differs(key, first, last)
  elseif name == 'count' then
    local zero_index = KEYS[tonumber(ARGV[first + 2])]
    if zero_index then require_type(zero_index, 'ZCARD') end
    return is_countable(key, ARGV[first], ARGV[first + 1])
  elseif name == 'post' or name == 'unpost' then
    require_postings(first, last)
  end
  return true
end

-- What fails in here has written nothing; what passes cannot fail while it is written.
local function check(name, key, first, last, ordinal)
  if name == 'when' then
    if has_value(key, first + 1, last) then return nil end
    for following = 1, tonumber(ARGV[first]) do left_out[ordinal + following] = true end
    return nil
  end
  if name == 'rename' then renamed[KEYS[tonumber(ARGV[first])]] = key end
  if SIZE_OF[name] then require_type(key, SIZE_OF[name]) end
  if not holds(name, key, first, last) then return {'refused', ordinal} end
end

local epoch, offset
local function read_log()
  local head = call('HMGET', KEYS[2], 'epoch', 'offset')
  offset = tonumber(head[2])
  epoch = offset and head[1] or ''
  offset = offset or 0
end

-- Memory that is full refuses the first write of a script and lets the rest pass, so this one comes first.
local function open_log()
  if epoch ~= '' then return end
  epoch, offset = ARGV[4], 0
  call('HSET', KEYS[2], 'epoch', epoch, 'offset', 0)
  call('UNLINK', KEYS[3])  -- events of a log that is gone have numbers that will be given again
end

local function in_chunks(command, key, first, last)
  for from = first, last, CHUNK do
    call(command, key, unpack(ARGV, from, math.min(from + CHUNK - 1, last)))
  end
end

local function count(key, field, by, zero_index, member)
  local value = call('HINCRBY', key, field, by)
  if not zero_index then return end
  if value == 0 then
    call('ZADD', zero_index, ARGV[3], member)
  else
    call('ZREM', zero_index, member)
  end
end

local function post(terms, stem, member, first, last)
  for at = first, last do
    local postings = stem .. ARGV[at]
    call('ZADD', postings, 0, member)
    if is_new[postings] then
      is_new[postings] = nil
      call('ZADD', terms, 0, ARGV[at])
    end
  end
end

local function unpost(terms, stem, member, first, last)
  for at = first, last do
    local postings = stem .. ARGV[at]
    if call('ZREM', postings, member) == 1 and call('EXISTS', postings) == 0 then
      is_new[postings] = true
      call('ZREM', terms, ARGV[at])
    end
  end
end

local snapshots = {}
local function snapshot(key)
  snapshots[key] = snapshots[key] or call('HGETALL', key)
  return snapshots[key]
end

local function event_entry(first, last)
  local entry = {'type', ARGV[first], 'audience', ARGV[first + 1], 'ids', ARGV[first + 2], 'at', ARGV[3]}
  local bare, size, bytes, most = #entry, #entry, 0, tonumber(ARGV[8])
  for at = first + 4, last do
    local key = KEYS[tonumber(ARGV[at])]
    entry[size + 1], entry[size + 2] = '@', key
    size = size + 2
    bytes = bytes + #key
    for _, part in ipairs(snapshot(key)) do
      size = size + 1
      entry[size] = part
      bytes = bytes + #part
    end
    if bytes > most then return {'partial', '1', unpack(entry, 1, bare)} end
  end
  return entry
end

local entries = {}
local function append_event(first, last)
  offset = offset + 1
  local id, entry = string.format('%.0f-0', offset), event_entry(first, last)
  call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], id, unpack(entry))
  entries[#entries + 1] = entry
end

-- The bell says where the log is, and carries the events that brought it there, so that nobody need read them.
local function ring_doorbell(before)
  if offset == before then return end
  call('HINCRBY', KEYS[2], 'offset', offset - before)
  call('PEXPIRE', KEYS[3], ARGV[6])
  local bell = string.format('%s:%.0f', epoch, offset)
  if #entries <= tonumber(ARGV[9]) then bell = bell .. ' ' .. cjson.encode(entries) end
  call('PUBLISH', ARGV[7], bell)
end

local objects = {}
local function answer(name, key)
  if name ~= 'snapshot' then return end
  objects[#objects + 1] = key
  objects[#objects + 1] = snapshot(key)
end

local function apply(name, key, first, last)
  if name == 'set' then in_chunks('HSET', key, first, last)
  elseif name == 'index' then call('ZADD', key, ARGV[first], ARGV[first + 1])
  elseif name == 'count' then
    count(key, ARGV[first], ARGV[first + 1], KEYS[tonumber(ARGV[first + 2])], ARGV[first + 3])
  elseif name == 'post' then post(key, KEYS[tonumber(ARGV[first])], ARGV[first + 1], first + 2, last)
  elseif name == 'unpost' then unpost(key, KEYS[tonumber(ARGV[first])], ARGV[first + 1], first + 2, last)
  elseif name == 'rescore' then call('ZADD', key, 'XX', ARGV[first], ARGV[first + 1])
  elseif name == 'unset' then in_chunks('HDEL', key, first, last)
  elseif name == 'unindex' then in_chunks('ZREM', key, first, last)
  elseif name == 'delete' then call('UNLINK', key)
  elseif name == 'rename' then call('RENAME', key, KEYS[tonumber(ARGV[first])])
  elseif name == 'expire' then call('PEXPIRE', key, ARGV[first])
  elseif name == 'persist' then call('PERSIST', key)
  elseif name == 'event' then append_event(first, last)
  else answer(name, key) end
end

-- A retry of our own is answered with what is stored then.
local function remember(result)
  if ARGV[2] ~= '' then
    call('SET', KEYS[1], cmsgpack.pack({ARGV[2], result}), 'PX', ARGV[1])
  elseif result[1] == 'done' then
    call('SET', KEYS[1], string.format('%s:%.0f', epoch, offset), 'PX', ARGV[1])
  end
end

local function recall()
  local remembered = call('GET', KEYS[1])
  if not remembered then return nil end
  if ARGV[2] == '' then
    epoch, offset = string.match(remembered, '^(%x+):(%d+)$')
    each_step(answer)
    return {'done', epoch, tonumber(offset), objects}
  end
  local fingerprint, kept = unpack(cmsgpack.unpack(remembered))
  return fingerprint == ARGV[2] and kept or {'mismatch'}
end

local done_before = recall() or each_step(check)
if done_before then return done_before end
read_log()
local status = something_differs == false and 'unchanged' or 'done'
if status == 'done' then
  open_log()
  local before = offset
  each_step(apply)
  ring_doorbell(before)
else
  each_step(answer)
end
local result = {status, epoch, offset, objects}
remember(result)
return result
