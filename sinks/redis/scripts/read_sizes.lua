-- Tells how much there is to read in some minutes of a partition.
-- KEYS: ledger
-- ARGV: generation, prefix, first minute, end minute, minutes between two that are sampled, least cells to sample,
--       ms since which an event counts
-- Answers {cells, cells of the sampled minutes, different videos in these, watched videos} as MessagePack, without
-- a sample of fewer cells; a cell is a video in a minute. Nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local prefix, first, cells, sampled, keys = ARGV[2], tonumber(ARGV[3]), 0, 0, {}
for minute = first, tonumber(ARGV[4]) - 1 do
  local key = prefix .. 'top:' .. minute
  local size = redis.call('ZCARD', key)
  cells = cells + size
  if (minute - first) % tonumber(ARGV[5]) == 0 then
    keys[#keys + 1], sampled = key, sampled + size
  end
end
local watched = redis.call('ZCOUNT', prefix .. 'on', '(' .. ARGV[7], '+inf')
if #keys == 0 or cells < tonumber(ARGV[6]) then return cmsgpack.pack({cells, 0, 0, watched}) end
return cmsgpack.pack({cells, sampled, #redis.call('ZUNION', #keys, unpack(keys)), watched})
