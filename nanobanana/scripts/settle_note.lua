-- Says in an owner's note what was found there after the latest work, unless somebody noted something since.
--
-- A note is made before what it speaks of, which may be under way while nothing is found. So a note goes only
-- when nothing was found twice, with `later` in between: the first time leaves half a millisecond in it.
--
-- KEYS  [1] the notes
-- ARGV  [1] the owner   [2] the note that was read   [3] from when on there is more, ms; '' for nothing
--       [4] later, ms
-- Returns 1 when it was settled, else 0
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
elseif tonumber(noted) % 1 ~= 0.5 then
  redis.call('ZADD', KEYS[1], ARGV[4] .. '.5', ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
