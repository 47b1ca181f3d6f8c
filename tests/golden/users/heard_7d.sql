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
        SELECT day, slots, 0 AS block, user, toUInt8(1 * ((day >= {p0:Date} AND day < {p1:Date})) + 2 * ((day >= {p2:Date} AND day < {p3:Date}))) AS active
        FROM user_days
        WHERE day >= {p4:Date} AND day <= {p5:Date} AND active != 0
    )
)
GROUP BY user

/* bound:
{
 "p0": "2024-03-24",
 "p1": "2024-03-31",
 "p2": "2024-03-17",
 "p3": "2024-03-24",
 "p4": "2024-03-30",
 "p5": "2024-03-30",
 "first_day": "2024-03-30",
 "before": [
  19812
 ]
}
*/
