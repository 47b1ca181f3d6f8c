-- Writes fields of the ledger, if the caller still owns the partition.
-- KEYS: ledger
-- ARGV: epoch, field, value, ...
local no = refused(redis.call('HGET', KEYS[1], 'epoch'), ARGV[1])
if no then return no end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return {'OK', ''}
