-- How much `vca forget` has removed, so that `vca verify` can tell it from a loss.

CREATE TABLE IF NOT EXISTS forgotten_rows_local ON CLUSTER 'analytics'
(...)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(day)
ORDER BY (day, log, topic, partition)
TTL day + INTERVAL 1100 DAY
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 2592000;

CREATE TABLE IF NOT EXISTS forgotten_rows ON CLUSTER 'analytics' AS forgotten_rows_local
ENGINE = Distributed('analytics', 'videocloud', 'forgotten_rows_local');
