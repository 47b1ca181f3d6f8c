SELECT countIf(bitTest(flags, 0)) AS daily, countIf(bitTest(flags, 1)) AS weekly, countIf(bitTest(flags, 2)) AS monthly
FROM
(
    SELECT user, groupBitOr(active) AS flags
    FROM
    (
        SELECT user, toUInt8(1 * ((day >= {p0:Date} AND day < {p1:Date})) + 2 * ((day >= {p2:Date} AND day < {p3:Date})) + 4 * ((day >= {p4:Date} AND day < {p5:Date}))) AS active
        FROM user_days
        WHERE day >= {p6:Date} AND day <= {p7:Date} AND active != 0
    )
    GROUP BY user
)

/* bound:
{
 "p0": "2024-03-30",
 "p1": "2024-03-31",
 "p2": "2024-03-24",
 "p3": "2024-03-31",
 "p4": "2024-03-01",
 "p5": "2024-03-31",
 "p6": "2024-03-01",
 "p7": "2024-03-29"
}
*/
