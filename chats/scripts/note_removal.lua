-- Notes that an owner will have something to remove. A note that is there is moved forward or touched: half a
-- millisecond in it, which says that nothing was found (see settle_removal.lua), goes.
--
-- KEYS  [1] the notes
-- ARGV  [1] the owner   [2] from when on there is something, ms
-- Returns 1
local due = tonumber(ARGV[2])
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted then due = math.min(due, math.floor(tonumber(noted))) end
redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
return 1
