-- Adds increments to a generation that nobody reads yet.
-- KEYS: ledger
-- ARGV: epoch, prefix, live, lifetime s, now ms, kept ms, generation, number of this part of it
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'rebuilt')
local no = refused(ledger[1], ARGV[1])
if no then return no end
local generation, part = string.match(ledger[2] or '', '^(%d+):(%d+)$')
-- A part of an earlier recount was on its way for long. Generations are too large for Lua's numbers.
if generation and (#generation > #ARGV[7] or (#generation == #ARGV[7] and generation > ARGV[7])) then
  return {'OK', ''}
end
local last = generation == ARGV[7] and tonumber(part) or 0
-- Already added: the answer was lost, and the client sent it once more.
if last >= tonumber(ARGV[8]) then return {'OK', ''} end
-- Redis lost the part before.
if last + 1 ~= tonumber(ARGV[8]) then return {'UNEXPECTED', 'part ' .. last} end
-- In a slot that is being moved, some keys are here and others are not: a write would fail half way. A key
-- that is here and one that nowhere is, asked for together, tell.
local moving = redis.pcall('EXISTS', KEYS[1], KEYS[1] .. ':none')
if type(moving) == 'table' and moving.err then return {'MOVING', moving.err} end
redis.call('HSET', KEYS[1], 'rebuilt', ARGV[7] .. ':' .. ARGV[8])
apply(ARGV[2], cmsgpack.unpack(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
return {'OK', ''}
