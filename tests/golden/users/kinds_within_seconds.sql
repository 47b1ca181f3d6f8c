SELECT kind, sum(events) AS events, sum(errors) AS errors, sum(duration_ms) AS duration_ms
FROM
(
    SELECT
        toStartOfMinute(toDateTime(occurred_at)) AS minute,
        kind,
        multiIf(type = 'api.request', endpoint, type = 'job', toString(job_type), toString(op)) AS name,
        toUInt64(1) AS events,
        toUInt64(multiIf(type = 'api.request', status >= 500, type = 'job', state = 'failed', NOT ok)) AS errors,
        if(type = 'api.request' OR state = 'finished', system_events.duration_ms, 0) AS duration_ms,
        system_events.bytes AS bytes
    FROM system_events
    ARRAY JOIN if(
        type = 'job' AND state = 'finished' AND system_events.duration_ms = 0,
        ['job', 'job.untimed'],
        [toString(type)]
    ) AS kind
    WHERE (type != 'job' OR state IN ('finished', 'failed')) AND kind IN {kinds:Array(String)} AND (occurred_at >= {ragged0_from:DateTime64(3, 'UTC')} AND occurred_at < {ragged0_to:DateTime64(3, 'UTC')})
)
GROUP BY kind

/* bound:
{
 "kinds": [
  "api.request",
  "job",
  "storage.op"
 ],
 "ragged0_from": "2024-03-01 00:00:00.001",
 "ragged0_to": "2024-03-01 00:00:05.000"
}
*/
