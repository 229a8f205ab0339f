-- What scripts that read lists of objects share; `scripts.Script` puts it before their text.

-- How many entries of an index stand before the one behind (score, id), in ascending order; entries of one
-- score stand in the order of their ids. The entry itself may have left meanwhile.
local function entries_up_to(index, score, id, inclusive)
  if redis.call('ZSCORE', index, id) == score then
    return redis.call('ZRANK', index, id) + (inclusive and 1 or 0)
  end
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', index, score, score)
  while low < high do  -- there can be many of one score
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', index, middle, middle)[1] < id then low = middle + 1 else high = middle end
  end
  return low
end

local function value_of(hash, field)
  for at = 1, #hash, 2 do
    if hash[at] == field then return hash[at + 1] end
  end
  return ''
end

-- The objects of these ids, whose keys start with `prefix`, and those that they refer to, each once.
-- ARGV [at] number of relations, then for each: the field (ids joined by commas), what the keys start with
-- Returns {id, {field, value, …}, …}, {key, {field, value, …}, …}; what is absent has an empty hash
local function read_objects(prefix, ids, at)
  local objects, related, seen = {}, {}, {}
  for _, id in ipairs(ids) do
    local hash = redis.call('HGETALL', prefix .. id)
    objects[#objects + 1] = id
    objects[#objects + 1] = hash
    for relation = 1, tonumber(ARGV[at]) do
      local field, start = ARGV[at - 1 + 2 * relation], ARGV[at + 2 * relation]
      for target in string.gmatch(value_of(hash, field), '[^,]+') do
        local key = start .. target
        if not seen[key] then
          seen[key] = true
          related[#related + 1] = key
          related[#related + 1] = redis.call('HGETALL', key)
        end
      end
    end
  end
  return objects, related
end
