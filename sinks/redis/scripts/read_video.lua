-- Reads one video's minutes of a partition, and its users by stretch.
-- KEYS: ledger
-- ARGV: generation, prefix, video, first minute, end minute, then the minutes between which users are united
-- Answers {{{minute, {field, n, ...}}, ...}, {{user, ...}, ...}} as MessagePack, nothing when the generation is
-- another one.
local ledger = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
if not ledger[1] or (ledger[2] or '0') ~= ARGV[1] then return false end
local users, minutes, first = {}, {}, tonumber(ARGV[4])
for minute = first, tonumber(ARGV[5]) - 1 do
  minutes[#minutes + 1] = ARGV[2] .. 'v:' .. minute .. ':' .. ARGV[3]
end
local cells = cells_of(minutes, first)
-- A user is counted with a view, in the same minute.
if not cells then
  for i = 6, #ARGV - 1 do users[#users + 1] = {} end
  return cmsgpack.pack({{}, users})
end
for i = 6, #ARGV - 1 do
  local keys = {}
  for minute = tonumber(ARGV[i]), tonumber(ARGV[i + 1]) - 1 do
    keys[#keys + 1] = ARGV[2] .. 'u:' .. minute .. ':' .. ARGV[3]
  end
  users[#users + 1] = #keys > 0 and redis.call('SUNION', unpack(keys)) or {}
end
return cmsgpack.pack({cells, users})
