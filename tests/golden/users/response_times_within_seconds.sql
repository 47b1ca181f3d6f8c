SELECT quantilesBFloat16Merge(0.95, 0.99)(durations) AS quantiles
FROM
(
    SELECT quantilesBFloat16State(0.95, 0.99)(duration_ms) AS durations
    FROM system_events
    WHERE type = 'api.request' AND (occurred_at >= {ragged0_from:DateTime64(3, 'UTC')} AND occurred_at < {ragged0_to:DateTime64(3, 'UTC')})
)

/* bound:
{
 "ragged0_from": "2024-03-01 00:00:00.001",
 "ragged0_to": "2024-03-01 00:00:05.000"
}
*/
