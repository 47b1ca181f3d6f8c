-- Reads a partition's live minutes, and up to which record they count, in one step.
-- KEYS: ledger
-- ARGV: prefix without the generation, first minute, end minute
-- Answers {counted, {{minute, {field, n, ...}, {video, views, ...}}, ...}}, nothing without a ledger.
local ledger = redis.call('HMGET', KEYS[1], 'counted', 'generation')
if not ledger[1] then return false end
local prefix, minutes = ARGV[1] .. (ledger[2] or '0') .. ':', {}
for minute = tonumber(ARGV[2]), tonumber(ARGV[3]) - 1 do
  local cell = redis.call('HGETALL', prefix .. 't:' .. minute)
  local top = redis.call('ZRANGE', prefix .. 'top:' .. minute, 0, -1, 'WITHSCORES')
  if #cell > 0 or #top > 0 then minutes[#minutes + 1] = {minute, cell, top} end
end
return {ledger[1], minutes}
