-- Writes fields of the ledger, if the caller still owns the partition.
-- KEYS: ledger
-- ARGV: epoch, field, value, ...
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return {'GONE', ''} end
if tonumber(epoch) < tonumber(ARGV[1]) then return {'GONE', epoch} end
if epoch ~= ARGV[1] then return {'FENCED', epoch} end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return {'OK', ''}
