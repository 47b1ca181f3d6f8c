-- Takes a partition over: every owner with a smaller epoch is fenced from now on.
-- KEYS: ledger
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return redis.call('HGETALL', KEYS[1])
