-- How much `vca forget` has removed, so that `vca verify` can tell it from a loss.

CREATE TABLE forgotten_rows
(
    day        Date COMMENT 'UTC: of the events, or of the start or the attempt of their views',
    log        LowCardinality(String),
    topic      LowCardinality(String),
    partition  UInt32,
    rows       UInt64 COMMENT 'raw rows of that day that were removed; 0 when only sums of that day have something of them'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, log, topic, partition)
TTL day + INTERVAL {rollup_retention_days} DAY
SETTINGS non_replicated_deduplication_window = {deduplication_window};
