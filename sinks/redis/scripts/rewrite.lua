-- Replaces the cursors of the ledger, if the caller owns the partition and they are still those that it read.
-- KEYS: ledger
-- ARGV: epoch, cursors before (empty: any), cursors after, field, value, ...
-- Cursors are the six fields below, with a space between them.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'incarnation', 'generation', 'counted', 'block_from',
  'block_to', 'done')
local no = refused(ledger[1], ARGV[1])
if no then return no end
local now = table.concat({ledger[2] or '0', ledger[3] or '0', ledger[4] or '', ledger[5] or '', ledger[6] or '',
  ledger[7] or '1'}, ' ')
-- A request that was on its way for long must not set back what was counted and stored since.
if ARGV[2] ~= '' and now ~= ARGV[2] and now ~= ARGV[3] then return {'CHANGED', now} end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
return {'OK', ''}
