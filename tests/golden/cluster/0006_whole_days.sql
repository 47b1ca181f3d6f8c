-- What keeps long windows fast: videos by the whole day, and what tells that a day that is over has changed.
-- What is there already is added up before the views begin; run it while no worker inserts.

-- As `video_15m`, by the day (UTC) and without dimensions: a summary of thirty days reads a fraction of the rows.
CREATE TABLE IF NOT EXISTS video_days_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (day, video_id)
TTL day + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS video_days ON CLUSTER 'analytics' AS video_days_local
ENGINE = Distributed('analytics', 'videocloud', 'video_days_local');

TRUNCATE TABLE video_days_local ON CLUSTER 'analytics';

INSERT INTO video_days
SELECT
    toDate(bucket) AS day, video_id,
    sum(views), sum(completions), sum(sized), sum(parts), sum(watched_ms), sum(likes), sum(comments), sum(shares)
FROM video_15m
GROUP BY day, video_id
SETTINGS insert_shard_id = 1, distributed_product_mode = 'global';

CREATE MATERIALIZED VIEW IF NOT EXISTS video_days_of_video_15m ON CLUSTER 'analytics' TO video_days_local AS
SELECT
    toDate(bucket) AS day,
    video_id,
    sum(views) AS views,
    sum(completions) AS completions,
    sum(sized) AS sized,
    sum(parts) AS parts,
    sum(watched_ms) AS watched_ms,
    sum(likes) AS likes,
    sum(comments) AS comments,
    sum(shares) AS shares
FROM video_15m_local
GROUP BY day, video_id;

-- All videos together: what trends compare, whose stretches end at the last quarter of an hour.
CREATE TABLE IF NOT EXISTS all_videos_15m_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(bucket)
ORDER BY bucket
TTL bucket + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS all_videos_15m ON CLUSTER 'analytics' AS all_videos_15m_local
ENGINE = Distributed('analytics', 'videocloud', 'all_videos_15m_local');

TRUNCATE TABLE all_videos_15m_local ON CLUSTER 'analytics';

INSERT INTO all_videos_15m
SELECT
    bucket,
    sum(views), sum(completions), sum(sized), sum(parts), sum(watched_ms), sum(likes), sum(comments), sum(shares)
FROM video_15m
GROUP BY bucket
SETTINGS insert_shard_id = 1, distributed_product_mode = 'global';

CREATE MATERIALIZED VIEW IF NOT EXISTS all_videos_15m_of_video_15m ON CLUSTER 'analytics' TO all_videos_15m_local AS
SELECT
    bucket,
    sum(views) AS views,
    sum(completions) AS completions,
    sum(sized) AS sized,
    sum(parts) AS parts,
    sum(watched_ms) AS watched_ms,
    sum(likes) AS likes,
    sum(comments) AS comments,
    sum(shares) AS shares
FROM video_15m_local
GROUP BY bucket;

-- How many rows of `activity` each day has had: another sum tells that something came, however late.
CREATE TABLE IF NOT EXISTS activity_days_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY day
TTL day + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS activity_days ON CLUSTER 'analytics' AS activity_days_local
ENGINE = Distributed('analytics', 'videocloud', 'activity_days_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_days_of_activity ON CLUSTER 'analytics' TO activity_days_local AS
SELECT day, count() AS events
FROM activity_local
GROUP BY day;
