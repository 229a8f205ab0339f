-- Reads an owner's events behind an offset.
--
-- KEYS  [1] log {epoch, offset}, [2] events (stream)
-- ARGV  [1] offset to read behind, [2] how many at most
-- Returns {epoch, offset of the newest event, {{offset-0, {field, value, …}}, …}}; {'', 0, {}} when there is no log
local head = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
if not head[1] then return {'', 0, {}} end
local since, newest = tonumber(ARGV[1]), tonumber(head[2])
if since >= newest then return {head[1], newest, {}} end
local entries = redis.call('XRANGE', KEYS[2], string.format('%.0f-0', since + 1), '+', 'COUNT', ARGV[2])
return {head[1], newest, entries}
