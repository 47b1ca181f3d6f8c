SELECT hour, toInt64(uniqExact(user)) - toInt64(uniqExactIf(user, known)) AS users
FROM
(
    SELECT toUInt64(first_of) AS user, intDiv(toInt64(intDiv(opened_ms, 1000)) + transform(roundDown(toInt64(intDiv(opened_ms, 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24 AS hour, known,
        toInt64(bitShiftRight(first_of, 68)) AS opened_ms
    FROM
    (
        SELECT min(first) AS first_of, min(day) < {open:Date} AS known
        FROM session_days
        WHERE day >= {day_from:Date} AND day <= {day_to:Date} AND session IN
        (
            SELECT session
            FROM session_days
            PREWHERE day >= {day_first:Date} AND toUInt64(first) IN (SELECT toUInt64(first) FROM session_days WHERE day >= {open:Date})
            WHERE (toUInt64(first), intDiv(toInt64(intDiv(bitShiftRight(first, 68), 1000)) + transform(roundDown(toInt64(intDiv(bitShiftRight(first, 68), 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24) IN
            (
                SELECT toUInt64(first), intDiv(toInt64(intDiv(bitShiftRight(first, 68), 1000)) + transform(roundDown(toInt64(intDiv(bitShiftRight(first, 68), 1000)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 3600) % 24 FROM session_days WHERE day >= {open:Date}
            )
        )
        GROUP BY session
    )
    WHERE opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
)
GROUP BY hour

/* bound:
{
 "start_ms": 1711218600000,
 "end_ms": 1711823400000,
 "day_from": "2024-03-16",
 "day_to": "2024-04-06",
 "day_first": "2024-03-23",
 "start": "2024-03-23 18:30:00.000",
 "open": "2024-03-30",
 "since": [
  1711218599
 ],
 "offsets": [
  19800
 ]
}
*/
