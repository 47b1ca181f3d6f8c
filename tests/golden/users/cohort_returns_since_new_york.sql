SELECT cohort, inside, countIf(bitTest(kept, 0)) AS later_1, countIf(bitTest(kept, 1)) AS later_7, countIf(bitTest(kept, 2)) AS later_30
FROM
(
    SELECT user, cohort, inside,
        groupBitOr(toUInt8(multiIf(later = 1, 1, later = 7, 2, later = 30, 4, 0))) AS kept
    FROM
    (
        SELECT user, cohort, inside, local - cohort AS later
        FROM
        (
            SELECT user, {before:Array(Int32)}[toUInt16(day - {first_day:Date}) + 1] AS local
            FROM user_days
            WHERE day >= {first_day:Date} AND day <= {last_day:Date} AND bitAnd(slots, {heads:Array(UInt128)}[toUInt16(day - {first_day:Date}) + 1]) != 0
            UNION ALL
            SELECT user, {after:Array(Int32)}[toUInt16(day - {first_day:Date}) + 1] AS local
            FROM user_days
            WHERE day >= {first_day:Date} AND day <= {last_day:Date} AND bitAnd(slots, {heads:Array(UInt128)}[toUInt16(day - {first_day:Date}) + 1]) != slots
        ) AS days
        INNER JOIN
        (
            SELECT user, intDiv(toInt64(toUnixTimestamp(min(first_seen))) + transform(roundDown(toInt64(toUnixTimestamp(min(first_seen))), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 86400) AS cohort, min(first_seen) >= {start:DateTime64(3, 'UTC')} AS inside
            FROM users
            WHERE user IN (SELECT user FROM user_days WHERE day >= {first_day:Date} AND day <= {last_day:Date})
            GROUP BY user
            HAVING min(first_seen) >= {reach:DateTime64(3, 'UTC')} AND min(first_seen) < {end:DateTime64(3, 'UTC')}
        ) AS newcomers USING (user)
        WHERE later IN (1, 7, 30) AND local >= {over:Int32} AND local < {today:Int32}
    )
    GROUP BY user, cohort, inside
)
GROUP BY cohort, inside

/* bound:
{
 "reach": "2024-02-23 05:00:00.000",
 "start": "2024-03-24 04:00:00.000",
 "end": "2024-03-31 04:00:00.000",
 "since": [
  1708664399,
  1710054000
 ],
 "offsets": [
  -18000,
  -14400
 ],
 "over": 19811,
 "today": 19812,
 "first_day": "2024-03-29",
 "last_day": "2024-03-30",
 "before": [
  19810,
  19811
 ],
 "after": [
  19811,
  19812
 ],
 "heads": [
  65535,
  65535
 ]
}
*/
