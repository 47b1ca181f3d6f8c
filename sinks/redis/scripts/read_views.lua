-- Adds up some videos' views over a partition's minutes.
-- KEYS: ledger
-- ARGV: generation, prefix, start minute, end minute, then videos
-- Answers the views in the order of the videos, as MessagePack; nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local sums, keys, cells = {}, {}, 0
for i = 5, #ARGV do sums[i - 4] = 0 end
for minute = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
  -- Partitions of other events than playback have none.
  if redis.call('HEXISTS', ARGV[2] .. 't:' .. minute, 'views') == 1 then
    keys[#keys + 1] = ARGV[2] .. 'top:' .. minute
    cells = cells + redis.call('ZCARD', keys[#keys])
  end
end
if #keys > 0 and cells < 2 * #sums * #keys then
  -- To add up all videos costs less than so many look-ups.
  local arguments, views = {#keys, unpack(keys)}, {}
  arguments[#arguments + 1] = 'WITHSCORES'
  local found = redis.call('ZUNION', unpack(arguments))
  for i = 1, #found, 2 do views[found[i]] = found[i + 1] end
  for i = 1, #sums do sums[i] = tonumber(views[ARGV[i + 4]] or 0) end
else
  for _, key in ipairs(keys) do
    for i, views in ipairs(redis.call('ZMSCORE', key, unpack(ARGV, 5))) do
      sums[i] = sums[i] + (tonumber(views or 0))
    end
  end
end
return cmsgpack.pack(sums)
