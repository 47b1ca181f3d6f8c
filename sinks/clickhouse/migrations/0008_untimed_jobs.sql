-- Finished jobs that do not tell how long they took, so that they do not lower the mean of those that do.

CREATE MATERIALIZED VIEW untimed_jobs_of_systems TO system_1m AS
SELECT
    toStartOfMinute(toDateTime(occurred_at)) AS minute,
    'job.untimed' AS kind,
    toString(job_type) AS name,
    service,
    count() AS events
FROM system_events
WHERE type = 'job' AND state = 'finished' AND duration_ms = 0
GROUP BY minute, name, service;
