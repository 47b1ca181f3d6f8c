SELECT
    toUInt64(user) AS user,
    toInt32(min(local)) AS day,
    toUInt8(groupBitOr(active)) AS active,
    toUInt64(max(block)) AS block
FROM
(
    SELECT user, active, if(bitAnd(slots, {heads:Array(UInt128)}[toUInt16(day - {first_day:Date}) + 1]) != 0, {before:Array(Int32)}[toUInt16(day - {first_day:Date}) + 1], {after:Array(Int32)}[toUInt16(day - {first_day:Date}) + 1]) AS local, block
    FROM
    (
        SELECT day, slots, 0 AS block, user, toUInt8(1 * ((day = {p0:Date} AND bitAnd(slots, {p1:UInt128}) != 0) OR (day >= {p2:Date} AND day < {p3:Date}) OR (day = {p4:Date} AND bitAnd(slots, {p5:UInt128}) != 0)) + 2 * ((day = {p6:Date} AND bitAnd(slots, {p7:UInt128}) != 0) OR (day >= {p8:Date} AND day < {p9:Date}) OR (day = {p10:Date} AND bitAnd(slots, {p11:UInt128}) != 0))) AS active
        FROM user_days
        WHERE day >= {p12:Date} AND day <= {p13:Date} AND active != 0
    )
)
GROUP BY user

/* bound:
{
 "p0": "2024-03-24",
 "p1": 79228162514264337593543884800,
 "p2": "2024-03-25",
 "p3": "2024-03-31",
 "p4": "2024-03-31",
 "p5": 65535,
 "p6": "2024-03-17",
 "p7": 79228162514264337593543884800,
 "p8": "2024-03-18",
 "p9": "2024-03-24",
 "p10": "2024-03-24",
 "p11": 65535,
 "p12": "2024-03-30",
 "p13": "2024-03-31",
 "first_day": "2024-03-30",
 "before": [
  19811,
  19812
 ],
 "after": [
  19812,
  19813
 ],
 "heads": [
  65535,
  65535
 ]
}
*/
