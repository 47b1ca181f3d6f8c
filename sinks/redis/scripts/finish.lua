-- Writes down that a block is in, if the caller owns the partition and the block is the newest of this log.
-- KEYS: ledger
-- ARGV: epoch, block from, block to, offset after its last row (empty: it has none), incarnation
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'block_from', 'block_to', 'incarnation')
local no = refused(ledger[1], ARGV[1])
if no then return no end
if ledger[2] == ARGV[2] and ledger[3] == ARGV[3] and (ledger[4] or '0') == ARGV[5] then
  redis.call('HSET', KEYS[1], 'done', '1')
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'landed', ARGV[4]) end
end
return {'OK', ''}
