-- Replaces the message of a job that is still there; another worker may have done it meanwhile.
--
-- KEYS  [1] the messages of its queue
-- ARGV  [1] the job's id   [2] the message
-- Returns 1 when it is there, else 0
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
