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
        SELECT day, slots, 0 AS block, user, toUInt8(1 * ((day = {p1:Date} AND bitAnd(slots, {p2:UInt128}) != 0) OR (day >= {p3:Date} AND day < {p4:Date}) OR (day = {p5:Date} AND bitAnd(slots, {p6:UInt128}) != 0)) + 2 * ((day = {p7:Date} AND bitAnd(slots, {p8:UInt128}) != 0) OR (day >= {p9:Date} AND day < {p10:Date}) OR (day = {p11:Date} AND bitAnd(slots, {p12:UInt128}) != 0))) AS active
        FROM user_days
        WHERE day >= {p13:Date} AND day <= {p14:Date} AND active != 0
    )
)
GROUP BY user

/* bound:
{
 "open": "2024-03-30",
 "p1": "2024-03-24",
 "p2": 79228162514264337593543884800,
 "p3": "2024-03-25",
 "p4": "2024-03-31",
 "p5": "2024-03-31",
 "p6": 65535,
 "p7": "2024-03-17",
 "p8": 79228162514264337593543884800,
 "p9": "2024-03-18",
 "p10": "2024-03-24",
 "p11": "2024-03-24",
 "p12": 65535,
 "p13": "2024-03-30",
 "p14": "2024-03-31",
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
