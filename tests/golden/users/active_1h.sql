SELECT countIf(bitTest(flags, 0)) AS daily, countIf(bitTest(flags, 1)) AS weekly, countIf(bitTest(flags, 2)) AS monthly
FROM
(
    SELECT user, groupBitOr(active) AS flags
    FROM
    (
        SELECT user, toUInt8(1 * ((day = {p0:Date} AND bitAnd(slots, {p1:UInt128}) != 0) OR (day = {p2:Date} AND bitAnd(slots, {p3:UInt128}) != 0)) + 2 * ((day = {p4:Date} AND bitAnd(slots, {p5:UInt128}) != 0) OR (day >= {p6:Date} AND day < {p7:Date}) OR (day = {p8:Date} AND bitAnd(slots, {p9:UInt128}) != 0)) + 4 * ((day = {p10:Date} AND bitAnd(slots, {p11:UInt128}) != 0) OR (day >= {p12:Date} AND day < {p13:Date}) OR (day = {p14:Date} AND bitAnd(slots, {p15:UInt128}) != 0))) AS active
        FROM user_days
        WHERE day >= {p16:Date} AND day <= {p17:Date} AND active != 0
        UNION ALL
        SELECT sipHash64(user_id) AS user, toUInt8(1 * ((occurred_at >= {stretch0_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch0_0_to:DateTime64(3, 'UTC')})) + 2 * ((occurred_at >= {stretch1_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch1_0_to:DateTime64(3, 'UTC')})) + 4 * ((occurred_at >= {stretch2_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch2_0_to:DateTime64(3, 'UTC')}))) AS active
        FROM playback_events
        WHERE (occurred_at >= {edge0_from:DateTime64(3, 'UTC')} AND occurred_at < {edge0_to:DateTime64(3, 'UTC')} OR occurred_at >= {edge1_from:DateTime64(3, 'UTC')} AND occurred_at < {edge1_to:DateTime64(3, 'UTC')})
        UNION ALL
        SELECT sipHash64(user_id) AS user, toUInt8(1 * ((occurred_at >= {stretch0_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch0_0_to:DateTime64(3, 'UTC')})) + 2 * ((occurred_at >= {stretch1_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch1_0_to:DateTime64(3, 'UTC')})) + 4 * ((occurred_at >= {stretch2_0_from:DateTime64(3, 'UTC')} AND occurred_at < {stretch2_0_to:DateTime64(3, 'UTC')}))) AS active
        FROM user_events
        WHERE (occurred_at >= {edge0_from:DateTime64(3, 'UTC')} AND occurred_at < {edge0_to:DateTime64(3, 'UTC')} OR occurred_at >= {edge1_from:DateTime64(3, 'UTC')} AND occurred_at < {edge1_to:DateTime64(3, 'UTC')})
    )
    GROUP BY user
)

/* bound:
{
 "p0": "2024-03-29",
 "p1": 79228162514120222405468094464,
 "p2": "2024-03-30",
 "p3": 72057594037927935,
 "p4": "2024-03-23",
 "p5": 79228162514192279999506022400,
 "p6": "2024-03-24",
 "p7": "2024-03-30",
 "p8": "2024-03-30",
 "p9": 72057594037927935,
 "p10": "2024-02-29",
 "p11": 79228162514192279999506022400,
 "p12": "2024-03-01",
 "p13": "2024-03-30",
 "p14": "2024-03-30",
 "p15": 72057594037927935,
 "p16": "2024-02-29",
 "p17": "2024-03-30",
 "stretch0_0_from": "2024-03-29 14:06:00.000",
 "stretch0_0_to": "2024-03-30 14:06:00.000",
 "stretch1_0_from": "2024-03-23 14:00:00.000",
 "stretch1_0_to": "2024-03-30 14:06:00.000",
 "stretch2_0_from": "2024-02-29 14:00:00.000",
 "stretch2_0_to": "2024-03-30 14:06:00.000",
 "edge0_from": "2024-03-29 14:06:00.000",
 "edge0_to": "2024-03-29 14:15:00.000",
 "edge1_from": "2024-03-30 14:00:00.000",
 "edge1_to": "2024-03-30 14:06:00.000"
}
*/
