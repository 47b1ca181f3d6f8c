-- Holds a partition's inserts: no block is begun until the hold ends. What was begun before goes on.
-- A key of another kind is a turn at something that only its holder may do.
-- KEYS: ledger, or the key of a turn
-- ARGV: holder, ms to hold (0 ends it), '1' when it must be held already
-- Answers with a verdict: OK, BUSY (another holds it), LOST (it was not held all the time).
local ledger = redis.call('HMGET', KEYS[1], 'hold', 'hold_until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = ledger[1] and tonumber(ledger[2]) > now
if held and ledger[1] ~= ARGV[1] then return {'BUSY', ledger[1]} end
if ARGV[3] == '1' and not held then return {'LOST', ''} end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], 'hold', 'hold_until')
else
  redis.call('HSET', KEYS[1], 'hold', ARGV[1], 'hold_until', string.format('%.0f', now + ARGV[2]))
end
return {'OK', ''}
