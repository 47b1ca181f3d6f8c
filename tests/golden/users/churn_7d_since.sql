SELECT toInt64(countIf(bitTest(flags, 0))) - toInt64(countIf(bitTest(flags_before, 0))) AS active, toInt64(countIf(bitTest(flags, 1))) - toInt64(countIf(bitTest(flags_before, 1))) AS previous, toInt64(countIf(bitTest(flags, 1) AND NOT bitTest(flags, 0))) - toInt64(countIf(bitTest(flags_before, 1) AND NOT bitTest(flags_before, 0))) AS lost
FROM
(
    SELECT user, groupBitOr(active) AS flags, groupBitOrIf(active, day < {open:Date}) AS flags_before
    FROM
    (
        SELECT day, user, toUInt8(1 * ((day >= {p0:Date} AND day < {p1:Date})) + 2 * ((day >= {p2:Date} AND day < {p3:Date}))) AS active
        FROM user_days
        PREWHERE day >= {p4:Date} AND day <= {p5:Date} AND user IN (SELECT user FROM user_days WHERE day >= {open:Date})
    )
    GROUP BY user
)

/* bound:
{
 "p0": "2024-03-24",
 "p1": "2024-03-31",
 "p2": "2024-03-17",
 "p3": "2024-03-24",
 "p4": "2024-03-17",
 "p5": "2024-03-30",
 "open": "2024-03-30"
}
*/
