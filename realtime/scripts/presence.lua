-- Notes which sockets of a user are open, wherever they are, and tells who is here.
--
-- A member is a socket with all that is said of it, as JSON; its score is the moment, in ms, until which it counts.
-- Nobody misses it after a restart, for every process says what it has again: it is kept out of the append-only file.
--
-- KEYS  [1] the sockets
-- ARGV  [1] how long an open one counts without another word, ms   [2] how long a closed one does, ms
--       [3] how many may be open when another one comes; 0 for no limit
--       [4] when to tell: 'never' | 'changed' | 'always'   [5] the channel to tell it on
--       then pairs: 'open' | 'closed' | 'forget', member
-- Returns {1, µs of this moment, {member, …}}, or {0} when there are as many open as may be
-- Tells `presence:<µs>:[member, …]`
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local moment = string.format('%.0f', clock[1] * 1000000 + clock[2])
local life, farewell, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST = 6

redis.set_repl(redis.REPL_NONE)

-- Sockets are opened while Redis takes no writes (its memory is full, say): what is noted here can be lost.
local function note(...)
  local done = redis.pcall(...)
  return type(done) == 'number' and done or 0
end

local changes = note('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)

local function is_full()
  if most == 0 or redis.call('ZSCORE', KEYS[1], ARGV[FIRST + 1]) then return false end  -- a retry is in already
  return redis.call('ZCOUNT', KEYS[1], now + farewell + 1, '+inf') >= most
end
if is_full() then return {0} end

for at = FIRST, #ARGV, 2 do
  local what, member = ARGV[at], ARGV[at + 1]
  if what == 'open' then
    changes = changes + note('ZADD', KEYS[1], now + life, member)
  elseif what == 'closed' then
    note('ZADD', KEYS[1], 'XX', now + farewell, member)
  else
    changes = changes + note('ZREM', KEYS[1], member)
  end
end
note('PEXPIRE', KEYS[1], life)

local members = redis.call('ZRANGE', KEYS[1], 0, -1)
if ARGV[4] == 'always' or (ARGV[4] == 'changed' and changes > 0) then
  redis.call('PUBLISH', ARGV[5], 'presence:' .. moment .. ':[' .. table.concat(members, ',') .. ']')
end
return {1, moment, members}
