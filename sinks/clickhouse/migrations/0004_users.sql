-- Users: when each was first seen, on which days they were active, and where they came from.
-- `user` is sipHash64(user_id) everywhere.

CREATE TABLE users
(
    user        UInt64,
    first_seen  SimpleAggregateFunction(min, DateTime64(3, 'UTC')) COMMENT 'first event ever: these rows are never deleted'
)
ENGINE = AggregatingMergeTree
ORDER BY user
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW users_of_activity TO users AS
SELECT user, min(fromUnixTimestamp64Milli(toInt64(intDiv(opening, 16)), 'UTC')) AS first_seen
FROM activity
GROUP BY user;

CREATE TABLE user_days
(
    day    Date COMMENT 'UTC',
    user   UInt64,
    slots  SimpleAggregateFunction(groupBitOr, UInt128) COMMENT 'bit n: active in the n-th quarter of an hour of the day, 0..95'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, user)
TTL day + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW user_days_of_activity TO user_days AS
SELECT day, user, groupBitOr(slots) AS slots
FROM activity
GROUP BY day, user;

CREATE TABLE signups
(
    user       UInt64,
    signed_up  DateTime64(3, 'UTC'),
    source     LowCardinality(String)
)
ENGINE = MergeTree
ORDER BY (user, signed_up, source)
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW signups_of_users TO signups AS
SELECT sipHash64(user_id) AS user, occurred_at AS signed_up, source
FROM user_events
WHERE type = 'user.signup';

CREATE TABLE user_actions_15m
(
    bucket    DateTime('UTC'),
    uploads   UInt64,
    comments  UInt64,
    likes     UInt64,
    shares    UInt64
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY bucket
TTL bucket + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW user_actions_15m_of_users TO user_actions_15m AS
SELECT
    toStartOfFifteenMinutes(toDateTime(occurred_at)) AS bucket,
    countIf(type = 'video.upload') AS uploads,
    countIf(type = 'video.comment') AS comments,
    countIf(type = 'video.like') AS likes,
    countIf(type = 'video.share') AS shares
FROM user_events
WHERE type IN ('video.upload', 'video.comment', 'video.like', 'video.share')
GROUP BY bucket;
