-- Writes down that a block is about to be inserted, if the caller owns the partition and inserts are not held.
-- KEYS: ledger
-- ARGV: epoch, block from, block to, from mark, to mark, shard, bundle (empty: none)
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'hold_until', 'done', 'block_from', 'block_to')
if not ledger[1] then return {'GONE', ''} end
if tonumber(ledger[1]) < tonumber(ARGV[1]) then return {'GONE', ledger[1]} end
if ledger[1] ~= ARGV[1] then return {'FENCED', ledger[1]} end
-- A request that was on its way for long, and sent again since, must not open a block that is done.
local from, is_done = tonumber(ledger[4]), ledger[3] == '1'
if from and (from > tonumber(ARGV[2]) or (is_done and ledger[4] == ARGV[2] and ledger[5] == ARGV[3])) then
  return {'OK', ''}
end
local now = redis.call('TIME')
-- The block in doubt goes on: whoever holds inserts waits for it.
local in_doubt = ledger[3] == '0' and ledger[4] == ARGV[2] and ledger[5] == ARGV[3]
if ledger[2] and tonumber(ledger[2]) > now[1] * 1000 + now[2] / 1000 and not in_doubt then
  return {'HELD', ledger[2]}
end
redis.call('HSET', KEYS[1], 'block_from', ARGV[2], 'block_to', ARGV[3], 'from_mark', ARGV[4], 'to_mark', ARGV[5],
  'done', '0', 'shard', ARGV[6], 'bundle', ARGV[7])
return {'OK', ''}
