SELECT countIf(bitTest(flags, 0)) AS active, countIf(bitTest(flags, 1)) AS previous, countIf(bitTest(flags, 1) AND NOT bitTest(flags, 0)) AS lost
FROM
(
    SELECT user, groupBitOr(active) AS flags
    FROM
    (
        SELECT user, toUInt8(1 * ((day >= {p0:Date} AND day < {p1:Date})) + 2 * ((day >= {p2:Date} AND day < {p3:Date}))) AS active
        FROM user_days
        WHERE day >= {p4:Date} AND day <= {p5:Date} AND active != 0
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
 "p5": "2024-03-30"
}
*/
