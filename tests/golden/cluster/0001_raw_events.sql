-- Raw events as accepted: the truth that roll-ups, recovery and ad hoc SQL stand on.
--
-- Sorted by what identifies an event, so that the worker can ask "was this one seen?" of a view or a
-- user by primary key, and so that the columns which are constant within a view cost next to nothing.
-- The deduplication window makes a block that is inserted twice count once (docs/delivery.md). Raw rows are
-- wide, and few questions read all parts of them: a base of 10 has them merged less often than one of 5.

CREATE TABLE IF NOT EXISTS playback_events_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (video_id, view_id, offset)
TTL toDateTime(occurred_at) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000, merge_selector_base = 10;

CREATE TABLE IF NOT EXISTS playback_events ON CLUSTER 'analytics' AS playback_events_local
ENGINE = Distributed('analytics', 'videocloud', 'playback_events_local');

CREATE TABLE IF NOT EXISTS user_events_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (user_id, event_id)
TTL toDateTime(occurred_at) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000, merge_selector_base = 10;

CREATE TABLE IF NOT EXISTS user_events ON CLUSTER 'analytics' AS user_events_local
ENGINE = Distributed('analytics', 'videocloud', 'user_events_local');

CREATE TABLE IF NOT EXISTS system_events_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (service, event_id)
TTL toDateTime(occurred_at) + INTERVAL 180 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000, merge_selector_base = 10;

CREATE TABLE IF NOT EXISTS system_events ON CLUSTER 'analytics' AS system_events_local
ENGINE = Distributed('analytics', 'videocloud', 'system_events_local');

CREATE TABLE IF NOT EXISTS video_catalog_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', received_at)
ORDER BY video_id
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS video_catalog ON CLUSTER 'analytics' AS video_catalog_local
ENGINE = Distributed('analytics', 'videocloud', 'video_catalog_local');

-- How far each partition of each log has landed, in ClickHouse's own books: the truth when the ledger
-- in Redis is lost or older than this.
CREATE TABLE IF NOT EXISTS ingested_offsets_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
ORDER BY (log, topic, partition)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS ingested_offsets ON CLUSTER 'analytics' AS ingested_offsets_local
ENGINE = Distributed('analytics', 'videocloud', 'ingested_offsets_local');

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_offsets_of_playback ON CLUSTER 'analytics' TO ingested_offsets_local AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM playback_events_local GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_offsets_of_users ON CLUSTER 'analytics' TO ingested_offsets_local AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM user_events_local GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_offsets_of_systems ON CLUSTER 'analytics' TO ingested_offsets_local AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM system_events_local GROUP BY log, topic, partition;

CREATE MATERIALIZED VIEW IF NOT EXISTS ingested_offsets_of_catalog ON CLUSTER 'analytics' TO ingested_offsets_local AS
SELECT log, topic, partition, min(offset) AS first_offset, max(offset) + 1 AS next_offset, count() AS rows, max(received_at) AS last_received
FROM video_catalog_local GROUP BY log, topic, partition;
