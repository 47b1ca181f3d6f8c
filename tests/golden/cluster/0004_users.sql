-- Users: when each was first seen, on which days they were active, and where they came from.
-- `user` is sipHash64(user_id) everywhere.

CREATE TABLE IF NOT EXISTS users_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY user
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS users_shards ON CLUSTER 'analytics' AS users_local
ENGINE = Distributed('analytics', 'videocloud', 'users_local');

CREATE VIEW IF NOT EXISTS users ON CLUSTER 'analytics' AS
SELECT user, min(first_seen) AS first_seen
FROM users_shards
GROUP BY user;

CREATE MATERIALIZED VIEW IF NOT EXISTS users_of_activity ON CLUSTER 'analytics' TO users_local AS
SELECT user, min(fromUnixTimestamp64Milli(toInt64(intDiv(opening, 16)), 'UTC')) AS first_seen
FROM activity_local
GROUP BY user;

CREATE TABLE IF NOT EXISTS user_days_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (day, user)
TTL day + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS user_days ON CLUSTER 'analytics' AS user_days_local
ENGINE = Distributed('analytics', 'videocloud', 'user_days_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS user_days_of_activity ON CLUSTER 'analytics' TO user_days_local AS
SELECT day, user, groupBitOr(slots) AS slots
FROM activity_local
GROUP BY day, user;

CREATE TABLE IF NOT EXISTS signups_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (user, signed_up, source)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS signups ON CLUSTER 'analytics' AS signups_local
ENGINE = Distributed('analytics', 'videocloud', 'signups_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS signups_of_users ON CLUSTER 'analytics' TO signups_local AS
SELECT sipHash64(user_id) AS user, occurred_at AS signed_up, source
FROM user_events_local
WHERE type = 'user.signup';

CREATE TABLE IF NOT EXISTS user_actions_15m_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(bucket)
ORDER BY bucket
TTL bucket + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS user_actions_15m ON CLUSTER 'analytics' AS user_actions_15m_local
ENGINE = Distributed('analytics', 'videocloud', 'user_actions_15m_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS user_actions_15m_of_users ON CLUSTER 'analytics' TO user_actions_15m_local AS
SELECT
    toStartOfFifteenMinutes(toDateTime(occurred_at)) AS bucket,
    countIf(type = 'video.upload') AS uploads,
    countIf(type = 'video.comment') AS comments,
    countIf(type = 'video.like') AS likes,
    countIf(type = 'video.share') AS shares
FROM user_events_local
WHERE type IN ('video.upload', 'video.comment', 'video.like', 'video.share')
GROUP BY bucket;
