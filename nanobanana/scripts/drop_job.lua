-- Takes a job out of the queues, unless it is being done.
--
-- KEYS  [1] the queue   [2] its messages   [3] the queue of those delayed   [4] its messages
--       [5] the queue of failures   [6] its messages
-- ARGV  [1] the job's id
-- Returns 1 when it was there, 0 when not
local dropped = redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('HDEL', KEYS[6], ARGV[1])
if redis.call('LREM', KEYS[1], 0, ARGV[1]) > 0 then
  dropped = redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call('LREM', KEYS[3], 0, ARGV[1])
if redis.call('HDEL', KEYS[4], ARGV[1]) > 0 then dropped = 1 end -- who has it in memory asks before it is due
return dropped
