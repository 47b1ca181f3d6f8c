-- Adds increments to a generation that nobody reads yet.
-- KEYS: ledger
-- ARGV: epoch, prefix, live, lifetime s, now ms, kept ms
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return {'GONE', ''} end
if epoch ~= ARGV[1] then return {'FENCED', epoch} end
apply(ARGV[2], cmsgpack.unpack(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
return {'OK', ''}
