SELECT
    toUInt64(user) AS user,
    toUInt32(groupBitOr(mark)) AS bits
FROM
(
    SELECT user, bitShiftLeft(toUInt32(1), intDiv(toInt64(intDiv(opened_ms, 1000)) + transform(roundDown(toInt64(intDiv(opened_ms, 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24) AS mark
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
    UNION ALL
    SELECT user, toUInt32(16777216) AS mark
    FROM users
    WHERE first_seen < {start:DateTime64(3, 'UTC')}
)
GROUP BY user
ORDER BY user
LIMIT {most:UInt64}

/* bound:
{
 "start_ms": 1711238400000,
 "end_ms": 1711843200000,
 "day_from": "2024-03-17",
 "day_to": "2024-03-29",
 "start": "2024-03-24 00:00:00.000",
 "since": [
  1711238399
 ],
 "offsets": [
  0
 ]
}
*/
