-- Gives the jobs that silent workers had to the others, and forgets failures that are too old.
--
-- dramatiq can do the same now and then, but looks through all keys of the database for it.
--
-- KEYS  [1] the heartbeats   [2] the queue of failures   [3] its messages
-- ARGV  [1] how keys begin   [2] workers silent since then are dead, ms   [3] failures before then go, ms
--       [4…] the names of the queues
-- Returns how many jobs were given back
local prefix, dead_since, expired = ARGV[1], ARGV[2], ARGV[3]
local count = 0

local function taken_key(worker, name)
  return prefix .. ':__acks__.' .. worker .. '.' .. name
end

local function give_back(queue, id)
  if redis.call('HEXISTS', queue .. '.msgs', id) == 1 then
    redis.call('RPUSH', queue, id)
    count = count + 1
  end
end

local function give_back_of_dead(worker, name)
  local taken = taken_key(worker, name)
  for _, id in ipairs(redis.call('SMEMBERS', taken)) do give_back(prefix .. ':' .. name, id) end
  redis.call('DEL', taken)
end

-- What neither waits nor is with a worker is there by a fault, and would keep its like out for ever.
local function give_back_of_nobody(name)
  local queue, workers = prefix .. ':' .. name, redis.call('ZRANGE', KEYS[1], 0, -1)
  local known = redis.call('LLEN', queue)
  for _, worker in ipairs(workers) do known = known + redis.call('SCARD', taken_key(worker, name)) end
  if redis.call('HLEN', queue .. '.msgs') <= known then return end
  local has = {}
  for _, id in ipairs(redis.call('LRANGE', queue, 0, -1)) do has[id] = true end
  for _, worker in ipairs(workers) do
    for _, id in ipairs(redis.call('SMEMBERS', taken_key(worker, name))) do has[id] = true end
  end
  for _, id in ipairs(redis.call('HKEYS', queue .. '.msgs')) do
    if not has[id] then give_back(queue, id) end
  end
end

for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', dead_since)) do
  for each = 4, #ARGV do give_back_of_dead(worker, ARGV[each]) end
  redis.call('ZREM', KEYS[1], worker)
end
for each = 4, #ARGV do give_back_of_nobody(ARGV[each]) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', expired, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
return count
