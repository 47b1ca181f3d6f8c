SELECT
    toUInt64(session) AS session
FROM session_days
WHERE day >= {day_from:Date} AND day < {lately:Date}
GROUP BY session
ORDER BY session
LIMIT {most:UInt64}

/* bound:
{
 "day_from": "2024-03-17",
 "lately": "2024-03-23",
 "open": "2024-03-30"
}
*/
