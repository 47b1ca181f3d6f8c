SELECT fresh, hour, countIf(NOT known) AS sessions, sum(added_ms) AS durations_ms,
    sum(toInt64(pages_of) - toInt64(pages_then)) AS page_views,
    toInt64(countIf(pages_of <= 1 AND last_ms - opened_ms < 10000 AND NOT watched AND acted = 0))
        - toInt64(countIf(known AND pages_then <= 1 AND then_ms - opened_ms < 10000 AND NOT watched_then AND acted_then = 0)) AS bounces,
    uniqExactIf(user, NOT known AND NOT seen) AS users
FROM
(
    SELECT *, user NOT IN (SELECT user FROM users WHERE first_seen < {start:DateTime64(3, 'UTC')}) AS fresh, intDiv(toInt64(intDiv(opened_ms, 1000)) + transform(roundDown(toInt64(intDiv(opened_ms, 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24 AS hour, (user, hour) IN
    (
        SELECT toUInt64(first_of) AS user, intDiv(toInt64(intDiv(opened_ms, 1000)) + transform(roundDown(toInt64(intDiv(opened_ms, 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24 AS hour
        FROM
        (
            SELECT min(first) AS first_of, toInt64(bitShiftRight(first_of, 68)) AS opened_ms
            FROM session_days
            WHERE day >= {day_from:Date} AND day < {open:Date} AND session IN
            (
                SELECT session
                FROM session_days
                PREWHERE day >= {day_first:Date} AND day < {open:Date}
                    AND toUInt64(first) IN (SELECT toUInt64(first) FROM session_days WHERE day >= {open:Date})
                WHERE (toUInt64(first), intDiv(toInt64(intDiv(bitShiftRight(first, 68), 1000)) + transform(roundDown(toInt64(intDiv(bitShiftRight(first, 68), 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24) IN
                (
                    SELECT toUInt64(first), intDiv(toInt64(intDiv(bitShiftRight(first, 68), 1000)) + transform(roundDown(toInt64(intDiv(bitShiftRight(first, 68), 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24 FROM session_days WHERE day >= {open:Date}
                )
            )
            GROUP BY session
        )
        WHERE opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
    ) AS seen
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
                max(last) AS last_of, maxIf(last, day < {open:Date}) AS last_then,
                sum(pages) AS pages_of, sumIf(pages, day < {open:Date}) AS pages_then,
                sum(actions) AS acted, sumIf(actions, day < {open:Date}) AS acted_then,
                max(played) = 1 AS watched, maxIf(played, day < {open:Date}) = 1 AS watched_then
            FROM session_days
            WHERE day >= {day_from:Date} AND day <= {day_to:Date} AND session IN (SELECT session FROM session_days WHERE day >= {open:Date})
            GROUP BY session
        )
        WHERE opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
    )
)
GROUP BY fresh, hour

/* bound:
{
 "start_ms": 1711238400000,
 "end_ms": 1711843200000,
 "day_from": "2024-03-17",
 "day_to": "2024-04-06",
 "day_first": "2024-03-24",
 "start": "2024-03-24 00:00:00.000",
 "open": "2024-03-30",
 "since": [
  1711238399
 ],
 "offsets": [
  0
 ]
}
*/
