SELECT
    toUInt64(session) AS session,
    toUInt64(bitShiftRight(min(first), 64)) AS opening,
    toUInt64(bitAnd(min(first), 18446744073709551615)) AS user,
    toInt64(toUnixTimestamp64Milli(max(last))) AS last_ms,
    toUInt32(sum(pages)) AS pages,
    toUInt8(sum(actions) > 0) AS acted,
    toUInt8(max(played)) AS watched,
    toUInt64(max(0)) AS block
FROM session_days
WHERE day >= {open:Date} AND day <= {day_to:Date}
GROUP BY session

/* bound:
{
 "open": "2024-03-30",
 "day_to": "2024-03-30"
}
*/
