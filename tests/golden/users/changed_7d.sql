SELECT
    toUInt64(user) AS user,
    toInt32(min(local)) AS day,
    toUInt8(groupBitOr(active)) AS active,
    toUInt64(max(block)) AS block
FROM
(
    SELECT user, active, {before:Array(Int32)}[toUInt16(day - {first_day:Date}) + 1] AS local, block
    FROM
    (
        SELECT day, slots, toUInt64(splitByChar('_', _part)[3]) AS block, user, toUInt8(1 * ((day >= {p2:Date} AND day < {p3:Date})) + 2 * ((day >= {p4:Date} AND day < {p5:Date}))) AS active
        FROM user_days
        WHERE day >= {p6:Date} AND day <= {p7:Date} AND active != 0
            AND user IN (SELECT user FROM user_days WHERE day >= {open:Date} AND toUInt64(splitByChar('_', _part)[3]) > {block:UInt64})
    )
)
GROUP BY user

/* bound:
{
 "open": "2024-03-30",
 "block": 41,
 "p2": "2024-03-24",
 "p3": "2024-03-31",
 "p4": "2024-03-17",
 "p5": "2024-03-24",
 "p6": "2024-03-30",
 "p7": "2024-03-30",
 "first_day": "2024-03-30",
 "before": [
  19812
 ]
}
*/
