-- Writes down that the newest block was not begun, if it went with this bundle, which is never sent.
-- KEYS: ledger
-- ARGV: epoch, bundle
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'done', 'bundle', 'block_from', 'from_mark')
local no = refused(ledger[1], ARGV[1])
if no then return no end
if ledger[2] == '0' and ledger[3] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'done', '1', 'bundle', '', 'block_to', ledger[4], 'to_mark', ledger[5])
end
return {'OK', ''}
