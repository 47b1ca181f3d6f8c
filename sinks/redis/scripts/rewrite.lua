-- Replaces the cursors of the ledger, if the caller owns the partition and they are still those that it read.
-- KEYS: ledger
-- ARGV: epoch, cursors before (empty: any), cursors after, what must be rebuilt (empty: nothing), field, value, ...
-- Cursors are the six fields below, with a space between them.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'incarnation', 'generation', 'counted', 'block_from',
  'block_to', 'done', 'rebuilt')
local no = refused(ledger[1], ARGV[1])
if no then return no end
local now = table.concat({ledger[2] or '0', ledger[3] or '0', ledger[4] or '', ledger[5] or '', ledger[6] or '',
  ledger[7] or '1'}, ' ')
-- A request that was on its way for long must not set back what was counted and stored since.
if ARGV[2] ~= '' and now ~= ARGV[2] and now ~= ARGV[3] then return {'CHANGED', now} end
-- Redis lost counters that were rebuilt, and nothing else: a replica that lacked them took over.
if ARGV[4] ~= '' and ledger[8] ~= ARGV[4] then return {'UNEXPECTED', 'rebuilt ' .. (ledger[8] or 'nothing')} end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
return {'OK', ''}
