-- Finished jobs that do not tell how long they took, so that they do not lower the mean of those that do.

CREATE MATERIALIZED VIEW IF NOT EXISTS untimed_jobs_of_systems ON CLUSTER 'analytics' TO system_1m_local AS
SELECT
    toStartOfMinute(toDateTime(occurred_at)) AS minute,
    'job.untimed' AS kind,
    toString(job_type) AS name,
    service,
    count() AS events
FROM system_events_local
WHERE type = 'job' AND state = 'finished' AND duration_ms = 0
GROUP BY minute, name, service;
