-- Replaces a string if it is still what the caller believes.
--
-- KEYS  [1] the key
-- ARGV  [1] the expected value, '' for absent   [2] the new value, '' to delete   [3] life in ms, '' for ever
-- Returns 1 when replaced, also by an earlier try whose answer was lost; else 0
local found = redis.call('GET', KEYS[1]) or ''
if found == ARGV[2] then return 1 end
if found ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('UNLINK', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
