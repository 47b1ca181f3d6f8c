-- Has readers use another generation, and marks the request to recount as done, if the caller owns the partition.
-- KEYS: ledger
-- ARGV: epoch, generation before, generation after, request, what must be rebuilt (empty: nothing), counted
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'rebuilt', 'counted')
local no = refused(ledger[1], ARGV[1])
if no then return no end
-- A request that was on its way for long must not bring an old generation back.
local now = ledger[2] or '0'
if now ~= ARGV[2] and now ~= ARGV[3] then return {'UNEXPECTED', 'generation ' .. now} end
-- Redis lost that records were counted, which the new generation has: they would be counted again.
if ledger[4] ~= ARGV[6] then return {'UNEXPECTED', 'offset ' .. (ledger[4] or 'nothing')} end
-- Redis lost counters that were rebuilt, and nothing else: a replica that lacked them took over.
if ARGV[5] ~= '' and ledger[3] ~= ARGV[5] then return {'UNEXPECTED', 'rebuilt ' .. (ledger[3] or 'nothing')} end
redis.call('HSET', KEYS[1], 'generation', ARGV[3], 'recounted', ARGV[4])
return {'OK', ''}
