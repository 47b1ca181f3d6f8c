-- Raw events as accepted: the truth that roll-ups, recovery and ad hoc SQL stand on.
--
-- Sorted by what identifies an event, so that the worker can ask "was this one seen?" of a view or a
-- user by primary key, and so that the columns which are constant within a view cost next to nothing.
-- The deduplication window makes a block that is inserted twice count once (docs/delivery.md). Raw rows are
-- wide, and few questions read all parts of them: a base of 10 has them merged less often than one of 5.

CREATE TABLE playback_events
(
    log                LowCardinality(String) COMMENT 'Kafka cluster, and #n for the n-th incarnation of a topic made anew',
    topic              LowCardinality(String),
    partition          UInt32,
    offset             UInt64,
    event_id           String,
    type               LowCardinality(String),
    occurred_at        DateTime64(3, 'UTC') COMMENT 'corrected by sentAt, never more than 5 min after received_at',
    received_at        DateTime64(3, 'UTC') COMMENT 'timestamp of the Kafka record',
    ahead_at           DateTime64(3, 'UTC') COMMENT 'occurredAt as sent when it was more than 5 min ahead of the record, else 1970',
    video_id           String,
    view_id            String,
    seq                UInt32,
    session_id         String,
    user_id            String COMMENT 'userId, else viewerId',
    signed_in          Bool,
    country            LowCardinality(String),
    device             LowCardinality(String),
    platform           LowCardinality(String),
    attempted_at       DateTime64(3, 'UTC') COMMENT 'of the view; 1970 while there is none',
    started_at         DateTime64(3, 'UTC') COMMENT 'first frame of the view; 1970 while there is none',
    startup_ms         UInt32,
    watched_ms         UInt32 COMMENT 'total of the view as sent',
    rebuffer_ms        UInt32 COMMENT 'total of the view as sent',
    rebuffer_count     UInt32 COMMENT 'total of the view as sent',
    bitrate_kbps       UInt32,
    from_ms            UInt32,
    to_ms              UInt32,
    duration_ms        UInt64 COMMENT 'of the content, from view.start or the catalog; 0 when unknown',
    code               LowCardinality(String),
    fatal              Bool,
    reason             LowCardinality(String),
    d_attempts         UInt8,
    d_views            UInt8,
    d_fatals           UInt8,
    d_completions      UInt8,
    d_watched_ms       UInt32,
    d_rebuffer_ms      UInt32,
    d_rebuffers        UInt32,
    d_bitrate_weight   UInt64 COMMENT 'kbps x watched ms',
    d_bitrate_ms       UInt32 COMMENT 'watched ms whose bitrate is known',
    d_sized            UInt8  COMMENT '1 once a view: its content length became known',
    d_parts            UInt8  COMMENT 'hundredths of the content touched for the first time in this view',
    new_parts          Array(UInt8) COMMENT 'which ones, 0..99',
    INDEX occurred occurred_at TYPE minmax,
    INDEX position offset TYPE minmax
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (video_id, view_id, offset)
TTL toDateTime(occurred_at) + INTERVAL {raw_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window}, merge_selector_base = 10;

CREATE TABLE user_events
(
    log                LowCardinality(String),
    topic              LowCardinality(String),
    partition          UInt32,
    offset             UInt64,
    event_id           String,
    type               LowCardinality(String),
    occurred_at        DateTime64(3, 'UTC'),
    received_at        DateTime64(3, 'UTC'),
    ahead_at           DateTime64(3, 'UTC'),
    session_id         String,
    user_id            String COMMENT 'userId, else viewerId',
    signed_in          Bool,
    country            LowCardinality(String),
    device             LowCardinality(String),
    platform           LowCardinality(String),
    video_id           String,
    path               String,
    source             LowCardinality(String),
    INDEX occurred occurred_at TYPE minmax,
    INDEX position offset TYPE minmax
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (user_id, event_id)
TTL toDateTime(occurred_at) + INTERVAL {raw_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window}, merge_selector_base = 10;

CREATE TABLE system_events
(
    log                  LowCardinality(String),
    topic                LowCardinality(String),
    partition            UInt32,
    offset               UInt64,
    event_id             String,
    type                 LowCardinality(String),
    occurred_at          DateTime64(3, 'UTC'),
    received_at          DateTime64(3, 'UTC'),
    ahead_at             DateTime64(3, 'UTC'),
    service              LowCardinality(String),
    endpoint             String,
    method               LowCardinality(String),
    status               UInt16,
    duration_ms          Float64,
    job_type             LowCardinality(String),
    job_id               String,
    state                LowCardinality(String),
    op                   LowCardinality(String),
    ok                   Bool,
    bytes                UInt64,
    host                 LowCardinality(String),
    cpu                  Float64,
    load                 Array(Float64),
    memory_used_bytes    UInt64,
    memory_total_bytes   UInt64,
    storage_used_bytes   UInt64,
    storage_total_bytes  UInt64,
    INDEX occurred occurred_at TYPE minmax,
    INDEX position offset TYPE minmax
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (service, event_id)
TTL toDateTime(occurred_at) + INTERVAL {raw_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window}, merge_selector_base = 10;

CREATE TABLE video_catalog
(
    log            LowCardinality(String),
    topic          LowCardinality(String),
    partition      UInt32,
    offset         UInt64,
    event_id       String,
    type           LowCardinality(String),
    occurred_at    DateTime64(3, 'UTC'),
    received_at    DateTime64(3, 'UTC') COMMENT 'the newest version of a video wins',
    ahead_at       DateTime64(3, 'UTC'),
    video_id       String,
    title          String,
    duration_ms    UInt64 COMMENT '0 when unknown',
    owner_id       String,
    published_at   DateTime64(3, 'UTC') COMMENT '1970 when unknown',
    live           Bool,
    deleted        Bool
)
ENGINE = ReplacingMergeTree(received_at)
ORDER BY video_id
SETTINGS non_replicated_deduplication_window = {deduplication_window};

-- How far each partition of each log has landed, in ClickHouse's own books: the truth when the ledger
-- in Redis is lost or older than this.
CREATE TABLE ingested_offsets
(
    log           LowCardinality(String),
    topic         LowCardinality(String),
    partition     UInt32,
    first_offset  SimpleAggregateFunction(min, UInt64),
    next_offset   SimpleAggregateFunction(max, UInt64),
    rows          SimpleAggregateFunction(sum, UInt64),
    last_received SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (log, topic, partition)
SETTINGS non_replicated_deduplication_window = {deduplication_window};

CREATE MATERIALIZED VIEW ingested_offsets_of_playback TO ingested_offsets AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM playback_events GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW ingested_offsets_of_users TO ingested_offsets AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM user_events GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW ingested_offsets_of_systems TO ingested_offsets AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM system_events GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW ingested_offsets_of_catalog TO ingested_offsets AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM video_catalog GROUP BY log, topic, partition;
