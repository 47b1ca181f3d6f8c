SELECT device, count() AS sessions, sum(duration_ms) AS durations_ms
FROM
(
    SELECT
        bitShiftRight(min(first), 64) AS opening,
        toInt64(bitShiftRight(opening, 4)) AS opened_ms,
        toUInt8(bitAnd(opening, 15)) AS device,
        toUInt64(bitAnd(min(first), 18446744073709551615)) AS user,
        toUnixTimestamp64Milli(max(last)) - opened_ms AS duration_ms,
        sum(pages) AS page_views,
        page_views <= 1 AND duration_ms < 10000 AND max(played) = 0 AND sum(actions) = 0 AS bounced
    FROM session_days
    WHERE day >= {day_from:Date} AND day <= {day_to:Date}
    GROUP BY session
    HAVING opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
)
GROUP BY device

/* bound:
{
 "start_ms": 1711238400000,
 "end_ms": 1711843200000,
 "day_from": "2024-03-17",
 "day_to": "2024-03-29"
}
*/
