-- Takes a partition over: every owner with a smaller epoch is fenced from now on.
-- KEYS: ledger
-- Never below the clock (ms): owners from before a loss of Redis' data are older than those after it.
local now = redis.call('TIME')
local epoch = math.max((tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0) + 1,
  now[1] * 1000 + math.floor(now[2] / 1000))
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch))
return redis.call('HGETALL', KEYS[1])
