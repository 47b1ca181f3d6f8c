-- Reads a partition's last hour by the minute, and who is watching, of one video or of all.
-- KEYS: ledger
-- ARGV: generation, prefix, first minute, recent minute, end minute, ms since which and until which an event counts,
--       video or ''
-- Answers {watching, {{minute, views, watched ms, likes}, ...}, {video, recent views, ...}} as MessagePack, the
-- last one for all videos only, and empty without recent minutes; nothing when the generation is another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local prefix, since, to, video = ARGV[2], '(' .. ARGV[6], ARGV[7], ARGV[8]
local minutes, tops, recent, watching = {}, {}, {}, 0
local first, keys = tonumber(ARGV[3]), {}
for minute = first, tonumber(ARGV[5]) - 1 do
  keys[#keys + 1] = video == '' and prefix .. 't:' .. minute or prefix .. 'v:' .. minute .. ':' .. video
  if minute >= tonumber(ARGV[4]) then tops[#tops + 1] = prefix .. 'top:' .. minute end
end
-- Most partitions have nothing of a video, and those of other topics nothing at all: one call tells.
if #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0 then
  for i, key in ipairs(keys) do
    local cell = redis.call('HMGET', key, 'views', 'watched_ms', 'likes')
    if cell[1] or cell[2] or cell[3] then
      minutes[#minutes + 1] = {first + i - 1, tonumber(cell[1] or 0), tonumber(cell[2] or 0), tonumber(cell[3] or 0)}
    end
  end
end
if video == '' then
  for _, watched in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'on', since, '+inf')) do
    -- The video's newest event may be later than that, and other views of it watched now.
    watching = watching + redis.call('ZCOUNT', prefix .. 'on:' .. watched, since, to)
  end
  if #tops > 0 then
    local arguments = {#tops, unpack(tops)}
    arguments[#arguments + 1] = 'WITHSCORES'
    recent = redis.call('ZUNION', unpack(arguments))
  end
else
  watching = redis.call('ZCOUNT', prefix .. 'on:' .. video, since, to)
end
return cmsgpack.pack({watching, minutes, recent})
