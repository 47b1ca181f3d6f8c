-- Adds up some videos' measures over a partition's minutes.
-- KEYS: ledger
-- ARGV: generation, prefix, start minute, end minute, number of measures, measures, then videos
-- Answers {{sum of each measure}, ...} in the order of the videos; nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local width, answer = tonumber(ARGV[5]), {}
local measures = {unpack(ARGV, 6, 5 + width)}
for i = 6 + width, #ARGV do
  local sums = {}
  for m = 1, width do sums[m] = 0 end
  for minute = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
    local cell = redis.call('HMGET', ARGV[2] .. 'v:' .. minute .. ':' .. ARGV[i], unpack(measures))
    for m = 1, width do sums[m] = sums[m] + (cell[m] or 0) end
  end
  -- Lua's own integers in an answer are 64 bits wide; a sum of milliseconds is far below 2^53.
  answer[#answer + 1] = sums
end
return answer
