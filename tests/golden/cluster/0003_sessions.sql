-- Who was active when, folded once per insert, and the visits that follow from it.
--
-- `activity` keeps nothing (its engine is Null): it is the step between the raw tables and everything that
-- counts people, so that a block of raw rows is grouped once and not by each of them.
-- Users and sessions are 64-bit hashes in these tables: sipHash64 of `user_id` and of `session_id`.

CREATE TABLE IF NOT EXISTS activity_local ON CLUSTER 'analytics'
(...)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_playback ON CLUSTER 'analytics' TO activity_local AS
SELECT
    toDate(occurred_at) AS day,
    sipHash64(session_id) AS session,
    sipHash64(user_id) AS user,
    min(toUInt64(toUnixTimestamp64Milli(occurred_at)) * 16
        + transform(device, ['desktop', 'mobile', 'tablet', 'tv', 'other', 'unknown'], [1, 2, 3, 4, 5, 6], 5)) AS opening,
    max(occurred_at) AS last,
    groupBitOr(bitShiftLeft(toUInt128(1), intDiv(toUnixTimestamp(occurred_at) % 86400, 900))) AS slots,
    0 AS pages,
    0 AS actions,
    1 AS played
FROM playback_events_local
GROUP BY day, session, user;

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_of_users ON CLUSTER 'analytics' TO activity_local AS
SELECT
    toDate(occurred_at) AS day,
    sipHash64(session_id) AS session,
    sipHash64(user_id) AS user,
    min(toUInt64(toUnixTimestamp64Milli(occurred_at)) * 16
        + transform(device, ['desktop', 'mobile', 'tablet', 'tv', 'other', 'unknown'], [1, 2, 3, 4, 5, 6], 5)) AS opening,
    max(occurred_at) AS last,
    groupBitOr(bitShiftLeft(toUInt128(1), intDiv(toUnixTimestamp(occurred_at) % 86400, 900))) AS slots,
    countIf(type = 'page.view') AS pages,
    countIf(type IN ('video.like', 'video.comment', 'video.share', 'video.upload', 'user.signup')) AS actions,
    0 AS played
FROM user_events_local
GROUP BY day, session, user;

-- A session is the rows of its id over all days; readers group them (sinks/clickhouse/user_queries.py).
CREATE TABLE IF NOT EXISTS session_days_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (day, session)
TTL day + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS session_days ON CLUSTER 'analytics' AS session_days_local
ENGINE = Distributed('analytics', 'videocloud', 'session_days_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS session_days_of_activity ON CLUSTER 'analytics' TO session_days_local AS
SELECT
    day,
    session,
    min(bitOr(bitShiftLeft(toUInt128(opening), 64), toUInt128(user))) AS first,
    max(last) AS last,
    sum(pages) AS pages,
    sum(actions) AS actions,
    max(played) AS played
FROM activity_local
GROUP BY day, session;

-- For ad hoc SQL: one row per session, whole. One of your own: WHERE session = sipHash64('its id').
CREATE VIEW IF NOT EXISTS sessions ON CLUSTER 'analytics' AS
SELECT
    session,
    toUInt64(bitAnd(min(first), 18446744073709551615)) AS user,
    ['desktop', 'mobile', 'tablet', 'tv', 'other', 'unknown'][toUInt8(bitAnd(bitShiftRight(min(first), 64), 15))] AS device,
    fromUnixTimestamp64Milli(toInt64(bitShiftRight(min(first), 68)), 'UTC') AS started_at,
    max(last) AS ended_at,
    sum(pages) AS page_views,
    sum(actions) AS acted,
    max(played) = 1 AS watched,
    page_views <= 1 AND acted = 0 AND NOT watched AND ended_at < started_at + INTERVAL 10 SECOND AS bounced
FROM session_days
GROUP BY session;
