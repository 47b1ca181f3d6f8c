-- Adds up some videos' measures over a partition's minutes.
-- KEYS: ledger
-- ARGV: generation, prefix, start minute, end minute, number of measures, measures, then videos
-- Answers {{sum of each measure}, ...} in the order of the videos, as MessagePack; nothing when the generation
-- is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local width, answer = tonumber(ARGV[5]), {}
local measures, videos = {unpack(ARGV, 6, 5 + width)}, {unpack(ARGV, 6 + width)}
for i = 1, #videos do
  answer[i] = {}
  for m = 1, width do answer[i][m] = 0 end
end
for minute = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
  -- Most videos have nothing in most minutes, and this call costs much less than one for each video.
  for i, listed in ipairs(redis.call('ZMSCORE', ARGV[2] .. 'top:' .. minute, unpack(videos))) do
    if listed then
      local cell = redis.call('HMGET', ARGV[2] .. 'v:' .. minute .. ':' .. videos[i], unpack(measures))
      for m = 1, width do answer[i][m] = answer[i][m] + (cell[m] or 0) end
    end
  end
end
-- A sum of milliseconds is far below 2^53, where Lua's numbers stop being exact.
return cmsgpack.pack(answer)
