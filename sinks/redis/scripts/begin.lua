-- Writes down that a block is about to be inserted, if the caller owns the partition and inserts are not held.
-- KEYS: ledger
-- ARGV: epoch, block from, block to, from mark, to mark, shard, bundle (empty: alone), incarnation
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'done', 'block_from', 'block_to', 'bundle', 'incarnation',
  'hold_until')
local done, from, to = ledger[2], ledger[3], ledger[4]
local no = refused(ledger[1], ARGV[1])
if no then return no end
-- It follows the block before, or is the one in doubt. Otherwise Redis lost what is between, or this request was on
-- its way for long: its block is done, or of the log before, or it went alone since.
local same = done == '0' and from == ARGV[2] and to == ARGV[3]
local stored = done == '0' and from or to
if (ledger[6] or '0') ~= ARGV[8] or stored ~= ARGV[2] or (same and ARGV[7] ~= '' and ledger[5] ~= ARGV[7]) then
  return {'UNEXPECTED', 'offset ' .. (stored or 'nothing')}
end
local now = redis.call('TIME')
-- The block in doubt goes on: whoever holds inserts waits for it.
if ledger[7] and tonumber(ledger[7]) > now[1] * 1000 + now[2] / 1000 and not same then
  return {'HELD', ledger[7]}
end
redis.call('HSET', KEYS[1], 'block_from', ARGV[2], 'block_to', ARGV[3], 'from_mark', ARGV[4], 'to_mark', ARGV[5],
  'done', '0', 'shard', ARGV[6], 'bundle', ARGV[7])
return {'OK', ''}
