-- Takes a partition over: every owner with a smaller epoch is fenced from now on.
-- KEYS: ledger  ARGV: format that the claimer writes
-- A ledger that a newer version has claimed is not touched: this one might misread what that wrote.
local format = redis.call('HGET', KEYS[1], 'format')
if format and tonumber(format) > tonumber(ARGV[1]) then return {'NEWER', format} end
-- Never below the clock (ms): owners from before a loss of Redis' data are older than those after it.
local now = redis.call('TIME')
local epoch = math.max((tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0) + 1,
  now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch), 'format', ARGV[1])
return redis.call('HGETALL', KEYS[1])
