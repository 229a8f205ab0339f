-- Claims an Idempotency-Key for one request, or says what stands there.
--
-- KEYS  [1] the key of the answer
-- ARGV  [1] the claim, which no other request has   [2] its life, ms
--       [3] a value that was found before and is worth nothing: it may be replaced, '' for none
-- Returns '' when the claim stands there, for its whole life from now; else what does: another's claim, or an answer
local found = redis.call('GET', KEYS[1])
if found and found ~= ARGV[1] and found ~= ARGV[3] then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
