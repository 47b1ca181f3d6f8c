-- Decides that a bundle is sent no more.
-- KEYS: bundle
-- ARGV: seconds to keep the decision
redis.call('HSET', KEYS[1], 'decision', 'never')
redis.call('HDEL', KEYS[1], 'packed')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {}
