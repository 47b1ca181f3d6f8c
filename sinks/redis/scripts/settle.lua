-- Decides that a bundle is never sent, unless it was decided that it is; answers with its blocks and bytes then.
-- KEYS: bundle
-- ARGV: seconds to keep the decision
local bundle = redis.call('HMGET', KEYS[1], 'decision', 'blocks', 'packed')
if not bundle[1] then
  redis.call('HSET', KEYS[1], 'decision', 'never')
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
if bundle[1] ~= 'sent' then return {} end
return {bundle[2], bundle[3]}
