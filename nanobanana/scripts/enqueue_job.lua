-- Puts a job into its queue, unless the same one waits there or runs.
--
-- KEYS  [1] the queue   [2] its messages   [3] the messages that are delayed   [4] the queue of failures
--       [5] its messages
-- ARGV  [1] the job's id   [2] its message
-- Returns 1 when it was put there, 0 when it was there already
if redis.call('HEXISTS', KEYS[2], ARGV[1]) + redis.call('HEXISTS', KEYS[3], ARGV[1]) > 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1]) -- that it failed before is over
redis.call('HDEL', KEYS[5], ARGV[1])
return 1
