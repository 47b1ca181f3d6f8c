-- Decides that a bundle is sent, and keeps it, unless it was decided that it never is.
-- KEYS: bundle
-- ARGV: its blocks, packed insert, seconds to keep it
local decision = redis.call('HGET', KEYS[1], 'decision')
if not decision then
  decision = 'sent'
  redis.call('HSET', KEYS[1], 'decision', decision, 'blocks', ARGV[1], 'packed', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return decision
