-- Reads all videos' minutes of a partition, and the views of each video.
-- KEYS: ledger
-- ARGV: generation, prefix, first minute, start minute, end minute
-- Answers {{{minute, {field, n, ...}}, ...}, {video, views, ...}} as MessagePack: minutes from the first,
-- videos from the start; nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local keys, totals, first = {}, {}, tonumber(ARGV[3])
for minute = first, tonumber(ARGV[5]) - 1 do
  totals[#totals + 1] = ARGV[2] .. 't:' .. minute
  if minute >= tonumber(ARGV[4]) then keys[#keys + 1] = ARGV[2] .. 'top:' .. minute end
end
local cells = cells_of(totals, first)
if not cells then return cmsgpack.pack({{}, {}}) end
local arguments = {#keys, unpack(keys)}
arguments[#arguments + 1] = 'WITHSCORES'
return cmsgpack.pack({cells, redis.call('ZUNION', unpack(arguments))})
