-- Adds up some videos' views over a partition's minutes.
-- KEYS: ledger
-- ARGV: generation, prefix, start minute, end minute, then videos
-- Answers the views in the order of the videos, as MessagePack; nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local sums = {}
for i = 5, #ARGV do sums[i - 4] = 0 end
for minute = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
  for i, views in ipairs(redis.call('ZMSCORE', ARGV[2] .. 'top:' .. minute, unpack(ARGV, 5))) do
    sums[i] = sums[i] + (tonumber(views or 0))
  end
end
return cmsgpack.pack(sums)
