-- Adds a batch's increments and moves the ledger's cursor, or does neither.
-- KEYS: ledger
-- ARGV: epoch, start, end, mark, prefix, live, lifetime s, now ms, kept ms, read, stored, repeated, late, rejected,
--   generation
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'counted', 'generation')
if not ledger[2] then return {'GONE', ''} end
local no = refused(ledger[1], ARGV[1])
if no then return no end
-- Readers use another one: this request was on its way for long, or Redis lost that they were switched over.
if (ledger[3] or '0') ~= ARGV[15] then return {'UNEXPECTED', 'generation ' .. (ledger[3] or '0')} end
-- Already counted: the answer to an earlier call was lost.
if ledger[2] == ARGV[3] then return {'OK', ledger[2]} end
-- Beyond the end, it is another log's ledger, whose replacement Redis lost.
if ledger[2] ~= ARGV[2] then return {'UNEXPECTED', 'offset ' .. ledger[2]} end
-- In a slot that is being moved, some keys are here and others are not: a write would fail half way. A key
-- that is here and one that nowhere is, asked for together, tell.
local moving = redis.pcall('EXISTS', KEYS[1], KEYS[1] .. ':none')
if type(moving) == 'table' and moving.err then return {'MOVING', moving.err} end
local live = ARGV[6] ~= '' and cmsgpack.unpack(ARGV[6])
-- From here on nothing may fail: a script that fails half way is not rolled back.
redis.call('HSET', KEYS[1], 'counted', ARGV[3], 'counted_mark', ARGV[4])
for i, name in ipairs({'read', 'stored', 'repeated', 'late', 'rejected'}) do
  if ARGV[9 + i] ~= '0' then redis.call('HINCRBY', KEYS[1], 'books:' .. name, ARGV[9 + i]) end
end
if live then apply(ARGV[5], live, tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])) end
return {'OK', ARGV[3]}
