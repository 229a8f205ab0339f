-- Puts periodic jobs into their queue whose time has come; one that still waits or runs is left out this time.
--
-- KEYS  [1] the hash of when each was due last, ms   [2] the queue   [3] its messages
--       [4] the messages that are delayed   [5] the queue of failures   [6] its messages
-- ARGV  the id, the period in ms and the message of each job
-- Returns how many were put there
local time = redis.call('TIME')
local now, count = time[1] * 1000 + math.floor(time[2] / 1000), 0
for each = 1, #ARGV, 3 do
  local id, period, message = ARGV[each], tonumber(ARGV[each + 1]), ARGV[each + 2]
  local last = tonumber(redis.call('HGET', KEYS[1], id) or 0)
  if last > now or now - last >= period then
    redis.call('HSET', KEYS[1], id, now)
    if redis.call('HEXISTS', KEYS[3], id) + redis.call('HEXISTS', KEYS[4], id) == 0 then
      redis.call('HSET', KEYS[3], id, message)
      redis.call('RPUSH', KEYS[2], id)
      redis.call('ZREM', KEYS[5], id) -- that it failed before is over
      redis.call('HDEL', KEYS[6], id)
      count = count + 1
    end
  end
end
return count
