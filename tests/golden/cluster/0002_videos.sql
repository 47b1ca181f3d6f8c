-- What the video endpoints read: counters by 15 minutes, and one row per started view for exact uniques.
-- 15 minutes is the widest bucket that falls on a whole number in every time zone.

CREATE TABLE IF NOT EXISTS video_15m_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(bucket)
ORDER BY (video_id, bucket, country, device, platform)
TTL bucket + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS video_15m ON CLUSTER 'analytics' AS video_15m_local
ENGINE = Distributed('analytics', 'videocloud', 'video_15m_local');

-- An event's deltas belong to up to three buckets (its own, its view's start, its view's attempt):
-- `bucket_of` is which of them a copy of the row stands for. Most heartbeats need only the first two.
CREATE MATERIALIZED VIEW IF NOT EXISTS video_15m_of_playback ON CLUSTER 'analytics' TO video_15m_local AS
SELECT
    video_id,
    toStartOfFifteenMinutes(toDateTime(multiIf(bucket_of = 0, occurred_at, bucket_of = 1, started_at, attempted_at))) AS bucket,
    country, device, platform,
    sumIf(d_attempts, bucket_of = 2) AS attempts,
    sumIf(d_fatals, bucket_of = 2) AS fatals,
    sumIf(d_views, bucket_of = 1) AS views,
    sumIf(d_completions, bucket_of = 1) AS completions,
    sumIf(d_sized, bucket_of = 1) AS sized,
    sumIf(d_parts, bucket_of = 1) AS parts,
    sumIf(d_watched_ms, bucket_of = 0) AS watched_ms,
    sumIf(d_rebuffer_ms, bucket_of = 0) AS rebuffer_ms,
    sumIf(d_rebuffers, bucket_of = 0) AS rebuffers,
    sumIf(d_bitrate_weight, bucket_of = 0) AS bitrate_weight,
    sumIf(d_bitrate_ms, bucket_of = 0) AS bitrate_ms
FROM playback_events_local
ARRAY JOIN arrayConcat(
    if(d_watched_ms + d_rebuffer_ms + d_rebuffers > 0, [0], []),
    if(d_views + d_completions + d_sized + d_parts > 0, [1], []),
    if(d_attempts + d_fatals > 0, [2], [])) AS bucket_of
GROUP BY video_id, bucket, country, device, platform;

CREATE MATERIALIZED VIEW IF NOT EXISTS video_15m_of_users ON CLUSTER 'analytics' TO video_15m_local AS
SELECT
    video_id,
    toStartOfFifteenMinutes(toDateTime(occurred_at)) AS bucket,
    country, device, platform,
    countIf(type = 'video.like') AS likes,
    countIf(type = 'video.comment') AS comments,
    countIf(type = 'video.share') AS shares
FROM user_events_local
WHERE type IN ('video.like', 'video.comment', 'video.share')
GROUP BY video_id, bucket, country, device, platform;

CREATE TABLE IF NOT EXISTS view_starts_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(started_at)
ORDER BY (video_id, started_at)
TTL toDateTime(started_at) + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS view_starts ON CLUSTER 'analytics' AS view_starts_local
ENGINE = Distributed('analytics', 'videocloud', 'view_starts_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS view_starts_of_playback ON CLUSTER 'analytics' TO view_starts_local AS
SELECT video_id, started_at, view_id, user_id, session_id, country, device, platform
FROM playback_events_local
WHERE d_views > 0;

-- For ad hoc SQL: one row per view, whole.
CREATE VIEW IF NOT EXISTS views ON CLUSTER 'analytics' AS
SELECT
    video_id,
    view_id,
    argMin(user_id, offset) AS user_id,
    argMin(session_id, offset) AS session_id,
    argMin(country, offset) AS country,
    argMin(device, offset) AS device,
    argMin(platform, offset) AS platform,
    max(attempted_at) AS attempted_at,
    max(started_at) AS started_at,
    max(occurred_at) AS last_event_at,
    max(startup_ms) AS startup_ms,
    max(duration_ms) AS duration_ms,
    sum(d_watched_ms) AS watched_ms,
    sum(d_rebuffer_ms) AS rebuffer_ms,
    sum(d_rebuffers) AS rebuffers,
    sum(d_parts) / 100 AS share_watched,
    sum(d_views) > 0 AS started,
    sum(d_completions) > 0 AS completed,
    sum(d_fatals) > 0 AS failed
FROM playback_events
GROUP BY video_id, view_id;
