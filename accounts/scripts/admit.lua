-- Lets one request in: its user and device are still there, and its budget (GCRA) has room for it. Says where the
-- user's log stands, before anything the request will read.
--
-- The bucket holds the moment, in microseconds, at which everything spent will have come back. It is kept out of
-- the append-only file and the replicas: nobody misses it after a restart, and no read waits for a disk.
--
-- KEYS  [1] the bucket; for a request that is signed in also [2] its user, [3] its device and [4] its
--       user's log
-- ARGV  [1] requests that the budget has, 0 for no limit   [2] microseconds in which one comes back
--       [3] how old the device's last_seen_at may become, ms
-- Returns {} when user or device is gone, {user {field, value, …}, {device's name, epoch, offset}} without a limit,
--      else {user, {…}, requests left, ms until all are back, ms to wait (0: the request is in)}; the first two are
--      {} when no user was asked for
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Reads go on while Redis takes no writes (its memory is full, say): what this script notes can be lost.
local function note(...)
  redis.pcall(...)
end

local user, standing = {}, {}
if KEYS[2] then
  user = redis.call('HGETALL', KEYS[2])
  local device = redis.call('HMGET', KEYS[3], 'last_seen_at', 'name')
  local seen_at = device[1]
  if #user == 0 or not seen_at then return {} end
  local head = redis.call('HMGET', KEYS[4], 'epoch', 'offset')
  standing = {device[2] or '', head[1] or '', head[2] or '0'}
  local moment = math.floor(now / 1000)
  if moment - seen_at > tonumber(ARGV[3]) then
    note('HSET', KEYS[3], 'last_seen_at', string.format('%.0f', moment))
  end
end

local quota, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
if quota == 0 then return {user, standing} end

local all = quota * interval
local spent = math.max(0, (tonumber(redis.call('GET', KEYS[1]) or now) - now))
spent = math.min(spent, all)  -- it is more when the clock was set back or the budget made smaller
local wait = math.max(0, spent + interval - all)
if wait == 0 then
  spent = spent + interval
  redis.set_repl(redis.REPL_NONE)
  note('SET', KEYS[1], string.format('%.0f', now + spent), 'PX', math.ceil(all / 1000))
end
return {user, standing, math.floor((all - spent) / interval), math.ceil(spent / 1000), math.ceil(wait / 1000)}
