-- Says whether a client's operation was committed before.
--
-- KEYS  [1] operation
-- ARGV  [1] its fingerprint
-- Returns 'done', 'mismatch' (the id is of another operation) or ''
local remembered = redis.call('GET', KEYS[1])
if not remembered then return '' end
return cmsgpack.unpack(remembered)[1] == ARGV[1] and 'done' or 'mismatch'
