-- Counts the failed tries of a password in a sliding window, and locks when there are too many.
-- A try under way takes the place of a failure, so that no number of tries at once gets past the limit.
--
-- KEYS  [1] when all counters of this group were freed, [2] tries under way and [3] failures (sorted sets by time),
--       [4] lock {since, ends, times}
-- ARGV  [1] 'begin' | 'fail' | 'withdraw' | 'succeed' | 'free' (the group)   [2] id of the try
--       [3] failures in a window   [4] window, ms: the first lock too, and each further one is twice as long
--       [5] longest lock, ms   [6] how long after its end a lock is remembered, ms
-- Returns how long to wait, ms; 0 when the try may begin, -1 while others under way leave no room for it.
--      All but 'begin' return 0.
local call = redis.call
local FREED, UNDER_WAY, FAILURES, LOCK = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local operation, try = ARGV[1], ARGV[2]
local limit, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local longest_lock, memory = tonumber(ARGV[5]), tonumber(ARGV[6])
local OTHERS_ARE_CHECKED = -1

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function forget_what_is_over()
  local freed = tonumber(call('GET', FREED)) or 0
  local oldest = math.max(freed, now - window)
  call('ZREMRANGEBYSCORE', UNDER_WAY, '-inf', oldest)
  call('ZREMRANGEBYSCORE', FAILURES, '-inf', oldest)
  local since = tonumber(call('HGET', LOCK, 'since'))
  if since and since <= freed then call('UNLINK', LOCK) end
end

local function locked_for()
  return math.max(0, (tonumber(call('HGET', LOCK, 'ends')) or 0) - now)
end

local function note(key)
  call('ZADD', key, now, try)
  call('PEXPIRE', key, window)
end

local function lock()
  local times = call('HINCRBY', LOCK, 'times', 1)
  local length = math.min(longest_lock, window * 2 ^ (times - 1))
  call('HSET', LOCK, 'since', now, 'ends', string.format('%.0f', now + length))
  call('PEXPIRE', LOCK, string.format('%.0f', length + memory))
end

local operations = {}

function operations.begin()
  local wait = locked_for()
  if wait > 0 or call('ZSCORE', UNDER_WAY, try) then return wait end
  if call('ZCARD', UNDER_WAY) + call('ZCARD', FAILURES) >= limit then return OTHERS_ARE_CHECKED end
  note(UNDER_WAY)
  return 0
end

function operations.withdraw()
  call('ZREM', UNDER_WAY, try)
  return 0
end

function operations.fail()
  note(FAILURES)
  if call('ZCARD', FAILURES) >= limit and locked_for() == 0 then lock() end
  return operations.withdraw()
end

function operations.succeed()
  call('UNLINK', FAILURES, LOCK)
  return operations.withdraw()
end

function operations.free()
  call('SET', FREED, now, 'PX', string.format('%.0f', longest_lock + memory))
  return 0
end

forget_what_is_over()
return operations[operation]()
