-- Gives the jobs that silent workers had to the others, and forgets failures that are too old.
--
-- dramatiq can do the same now and then, but looks through all keys of the database for it.
--
-- KEYS  [1] the heartbeats   [2] the queue of failures   [3] its messages
-- ARGV  [1] how keys begin   [2] workers silent since then are dead, ms   [3] failures before then go, ms
--       [4…] the names of the queues
-- Returns how many jobs were given back
local count = 0
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])) do
  for each = 4, #ARGV do
    local queue = ARGV[1] .. ':' .. ARGV[each]
    local taken = ARGV[1] .. ':__acks__.' .. worker .. '.' .. ARGV[each]
    for _, id in ipairs(redis.call('SMEMBERS', taken)) do
      if redis.call('HEXISTS', queue .. '.msgs', id) == 1 then
        redis.call('RPUSH', queue, id)
        count = count + 1
      end
    end
    redis.call('DEL', taken)
  end
  redis.call('ZREM', KEYS[1], worker)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3], 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
return count
