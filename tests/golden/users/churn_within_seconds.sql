SELECT countIf(bitTest(flags, 0)) AS active, countIf(bitTest(flags, 1)) AS previous, countIf(bitTest(flags, 1) AND NOT bitTest(flags, 0)) AS lost
FROM
(
    SELECT user, groupBitOr(active) AS flags
    FROM
    (
        SELECT sipHash64(user_id) AS user, toUInt8(1 * ((occurred_at >= {stretch0_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch0_0_to:DateTime64(3, 'UTC')})) + 2 * ((occurred_at >= {stretch1_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch1_0_to:DateTime64(3, 'UTC')}))) AS active
        FROM playback_events
        WHERE (occurred_at >= {edge0_from:DateTime64(3, 'UTC')} AND occurred_at < {edge0_to:DateTime64(3, 'UTC')} OR occurred_at >= {edge1_from:DateTime64(3, 'UTC')} AND occurred_at < {edge1_to:DateTime64(3, 'UTC')})
        UNION ALL
        SELECT sipHash64(user_id) AS user, toUInt8(1 * ((occurred_at >= {stretch0_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch0_0_to:DateTime64(3, 'UTC')})) + 2 * ((occurred_at >= {stretch1_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch1_0_to:DateTime64(3, 'UTC')}))) AS active
        FROM user_events
        WHERE (occurred_at >= {edge0_from:DateTime64(3, 'UTC')} AND occurred_at < {edge0_to:DateTime64(3, 'UTC')} OR occurred_at >= {edge1_from:DateTime64(3, 'UTC')} AND occurred_at < {edge1_to:DateTime64(3, 'UTC')})
    )
    GROUP BY user
)

/* bound:
{
 "stretch0_0_from": "2024-03-01 00:00:00.001",
 "stretch0_0_to": "2024-03-01 00:00:05.000",
 "stretch1_0_from": "2024-02-29 23:59:55.002",
 "stretch1_0_to": "2024-03-01 00:00:00.001",
 "edge0_from": "2024-03-01 00:00:00.001",
 "edge0_to": "2024-03-01 00:00:05.000",
 "edge1_from": "2024-02-29 23:59:55.002",
 "edge1_to": "2024-03-01 00:00:00.001"
}
*/
