SELECT device, countIf(NOT known) AS sessions, sum(added_ms) AS durations_ms
FROM
(
    SELECT
        toInt64(bitShiftRight(first_of, 68)) AS opened_ms,
        toUInt8(bitAnd(bitShiftRight(first_of, 64), 15)) AS device,
        toUInt64(first_of) AS user,
        toUnixTimestamp64Milli(last_of) AS last_ms,
        toUnixTimestamp64Milli(last_then) AS then_ms,
        last_ms - if(known, then_ms, opened_ms) AS added_ms,
        *
    FROM
    (
        SELECT min(first) AS first_of, min(day) < {open:Date} AS known,
            max(last) AS last_of, maxIf(last, day < {open:Date}) AS last_then
        FROM session_days
        WHERE day >= {day_from:Date} AND day <= {day_to:Date} AND session IN (SELECT session FROM session_days WHERE day >= {open:Date})
        GROUP BY session
    )
    WHERE opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
)
GROUP BY device

/* bound:
{
 "start_ms": 1711238400000,
 "end_ms": 1711843200000,
 "day_from": "2024-03-17",
 "day_to": "2024-04-06",
 "open": "2024-03-30"
}
*/
