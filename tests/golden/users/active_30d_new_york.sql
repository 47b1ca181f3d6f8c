SELECT countIf(bitTest(flags, 0)) AS daily, countIf(bitTest(flags, 1)) AS weekly, countIf(bitTest(flags, 2)) AS monthly
FROM
(
    SELECT user, groupBitOr(active) AS flags
    FROM
    (
        SELECT user, toUInt8(1 * ((day = {p0:Date} AND bitAnd(slots, {p1:UInt128}) != 0) OR (day = {p2:Date} AND bitAnd(slots, {p3:UInt128}) != 0)) + 2 * ((day = {p4:Date} AND bitAnd(slots, {p5:UInt128}) != 0) OR (day >= {p6:Date} AND day < {p7:Date}) OR (day = {p8:Date} AND bitAnd(slots, {p9:UInt128}) != 0)) + 4 * ((day = {p10:Date} AND bitAnd(slots, {p11:UInt128}) != 0) OR (day >= {p12:Date} AND day < {p13:Date}) OR (day = {p14:Date} AND bitAnd(slots, {p15:UInt128}) != 0))) AS active
        FROM user_days
        WHERE day >= {p16:Date} AND day <= {p17:Date} AND active != 0
    )
    GROUP BY user
)

/* bound:
{
 "p0": "2024-03-30",
 "p1": 79228162514264337593543884800,
 "p2": "2024-03-31",
 "p3": 65535,
 "p4": "2024-03-24",
 "p5": 79228162514264337593543884800,
 "p6": "2024-03-25",
 "p7": "2024-03-31",
 "p8": "2024-03-31",
 "p9": 65535,
 "p10": "2024-03-01",
 "p11": 79228162514264337593542901760,
 "p12": "2024-03-02",
 "p13": "2024-03-31",
 "p14": "2024-03-31",
 "p15": 65535,
 "p16": "2024-03-01",
 "p17": "2024-03-31"
}
*/
