-- What keeps long windows fast: videos by the whole day, and what tells that a day that is over has changed.
-- What is there already is added up before the views begin; run it while no worker inserts.

-- As `video_15m`, by the day (UTC) and without dimensions: a summary of thirty days reads a fraction of the rows.
CREATE TABLE video_days
(
    day          Date COMMENT 'UTC',
    video_id     String,
    views        UInt64,
    completions  UInt64,
    sized        UInt64,
    parts        UInt64,
    watched_ms   UInt64,
    likes        UInt64,
    comments     UInt64,
    shares       UInt64
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, video_id)
TTL day + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};

TRUNCATE TABLE video_days;

INSERT INTO video_days
SELECT
    toDate(bucket) AS day, video_id,
    sum(views), sum(completions), sum(sized), sum(parts), sum(watched_ms), sum(likes), sum(comments), sum(shares)
FROM video_15m
GROUP BY day, video_id;

CREATE MATERIALIZED VIEW video_days_of_video_15m TO video_days AS
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
FROM video_15m
GROUP BY day, video_id;

-- All videos together: what trends compare, whose stretches end at the last quarter of an hour.
CREATE TABLE all_videos_15m
(
    bucket       DateTime('UTC'),
    views        UInt64,
    completions  UInt64,
    sized        UInt64,
    parts        UInt64,
    watched_ms   UInt64,
    likes        UInt64,
    comments     UInt64,
    shares       UInt64
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY bucket
TTL bucket + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};

TRUNCATE TABLE all_videos_15m;

INSERT INTO all_videos_15m
SELECT
    bucket,
    sum(views), sum(completions), sum(sized), sum(parts), sum(watched_ms), sum(likes), sum(comments), sum(shares)
FROM video_15m
GROUP BY bucket;

CREATE MATERIALIZED VIEW all_videos_15m_of_video_15m TO all_videos_15m AS
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
FROM video_15m
GROUP BY bucket;

-- How many rows of `activity` each day has had: another sum tells that something came, however late.
CREATE TABLE activity_days
(
    day     Date COMMENT 'of the events, UTC',
    events  UInt64 COMMENT 'rows of activity, for comparing only'
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY day
TTL day + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW activity_days_of_activity TO activity_days AS
SELECT day, count() AS events
FROM activity
GROUP BY day;
