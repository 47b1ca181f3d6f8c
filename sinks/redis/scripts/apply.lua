-- Adds live increments under a prefix; put before the scripts that need it.
-- live = { counters = {{minute, video, {measure = n}}}, viewers = {{minute, video, {hash}}},
--          watching = {{video, newest ms, {newest ms, view, ...}}} }, from MessagePack as three arrays.

-- Arguments of one call, which Lua keeps on its stack; even, so that pairs stay together.
local CHUNK = 2000
-- Increments above LARGE need a look: a sum beyond 2^63 would fail half way, and Redis would read a large
-- number in Lua's own notation as none. Only invented numbers come near; their sums end at MOST.
local LARGE, MOST = 2 ^ 40, 2 ^ 62

-- Minutes further ahead of the caller's clock (s) are kept as if they were not: brokers before Kafka 4 take
-- records of any time, and what is kept until their minute is over could fill Redis.
local AHEAD = 3600
-- Views may be this much (ms) ahead, and count as watching until they are not: SKEW_MS of streams/domain/arrivals.py.
local VIEWS_AHEAD = 300000

local function add(key, measure, n)
  if n > LARGE then
    local sum = tonumber(redis.call('HGET', key, measure) or 0)
    n = string.format('%.0f', math.max(0, math.min(n, MOST - sum)))
  end
  redis.call('HINCRBY', key, measure, n)
end

local function apply(prefix, live, lifetime, now_ms, kept_ms)
  local totals, farthest = {}, math.floor(now_ms / 1000) + AHEAD
  local function expire(key, minute)
    redis.call('EXPIREAT', key, string.format('%.0f', math.min(minute * 60, farthest) + lifetime))
  end
  for _, cell in ipairs(live[1]) do
    local minute, video, measures = cell[1], cell[2], cell[3]
    local key = prefix .. 'v:' .. minute .. ':' .. video
    local total = totals[minute] or {}
    totals[minute] = total
    for measure, n in pairs(measures) do
      add(key, measure, n)
      total[measure] = (total[measure] or 0) + n
    end
    expire(key, minute)
    redis.call('ZINCRBY', prefix .. 'top:' .. minute, measures.views or 0, video)
  end
  for minute, total in pairs(totals) do
    local key = prefix .. 't:' .. minute
    for measure, n in pairs(total) do
      add(key, measure, n)
    end
    expire(key, minute)
    expire(prefix .. 'top:' .. minute, minute)
  end
  for _, cell in ipairs(live[2]) do
    local key, users = prefix .. 'u:' .. cell[1] .. ':' .. cell[2], cell[3]
    for first = 1, #users, CHUNK do
      redis.call('SADD', key, unpack(users, first, math.min(first + CHUNK - 1, #users)))
    end
    expire(key, cell[1])
  end
  local gone = '(' .. string.format('%.0f', now_ms - kept_ms)
  for _, cell in ipairs(live[3]) do
    local key, views = prefix .. 'on:' .. cell[1], cell[3]
    for first = 1, #views, CHUNK do
      redis.call('ZADD', key, 'GT', unpack(views, first, math.min(first + CHUNK - 1, #views)))
    end
    redis.call('ZADD', prefix .. 'on', 'GT', cell[2], cell[1])
    redis.call('ZREMRANGEBYSCORE', key, '-inf', gone)
    redis.call('PEXPIRE', key, kept_ms + VIEWS_AHEAD)
  end
  if #live[3] > 0 then
    redis.call('ZREMRANGEBYSCORE', prefix .. 'on', '-inf', gone)
    redis.call('PEXPIRE', prefix .. 'on', kept_ms + VIEWS_AHEAD)
  end
end
