-- Notes that an owner will have something to be done. A note that is there is moved forward or else touched: the
-- fraction of a millisecond in it changes, so that who read it before finds it another one (see settle_note.lua).
--
-- KEYS  [1] the notes
-- ARGV  [1] the owner   [2] from when on there is something, ms
-- Returns 1
local STEPS, FOUND_NOTHING = 1024, 512

local due = tonumber(ARGV[2])
local noted = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
if noted and math.floor(noted) <= due then
  local step = (noted % 1 * STEPS + 1) % STEPS
  if step == FOUND_NOTHING then step = step + 1 end
  due = math.floor(noted) + step / STEPS
end
redis.call('ZADD', KEYS[1], string.format('%.10f', due), ARGV[1])
return 1
