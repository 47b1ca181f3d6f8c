-- Adds increments to a generation that nobody reads yet.
-- KEYS: ledger
-- ARGV: epoch, prefix, live, lifetime s, now ms, kept ms
local no = refused(redis.call('HGET', KEYS[1], 'epoch'), ARGV[1])
if no then return no end
-- In a slot that is being moved, some keys are here and others are not: a write would fail half way. A key
-- that is here and one that nowhere is, asked for together, tell.
local moving = redis.pcall('EXISTS', KEYS[1], KEYS[1] .. ':none')
if type(moving) == 'table' and moving.err then return {'MOVING', moving.err} end
apply(ARGV[2], cmsgpack.unpack(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
return {'OK', ''}
