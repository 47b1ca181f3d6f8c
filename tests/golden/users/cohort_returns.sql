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
            WHERE day >= {first_day:Date} AND day <= {last_day:Date}
        ) AS days
        INNER JOIN
        (
            SELECT user, intDiv(toInt64(toUnixTimestamp(first_seen)) + transform(roundDown(toInt64(toUnixTimestamp(first_seen)), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 86400) AS cohort, first_seen >= {start:DateTime64(3, 'UTC')} AS inside
            FROM users FINAL
            WHERE first_seen >= {reach:DateTime64(3, 'UTC')} AND first_seen < {end:DateTime64(3, 'UTC')}
        ) AS newcomers USING (user)
        WHERE later IN (1, 7, 30) AND local < {over:Int32}
    )
    GROUP BY user, cohort, inside
)
GROUP BY cohort, inside

/* bound:
{
 "reach": "2024-02-23 00:00:00.000",
 "start": "2024-03-24 00:00:00.000",
 "end": "2024-03-30 00:00:00.000",
 "since": [
  1708646399
 ],
 "offsets": [
  0
 ],
 "over": 19812,
 "first_day": "2024-02-23",
 "last_day": "2024-03-29",
 "before": [
  19776,
  19777,
  19778,
  19779,
  19780,
  19781,
  19782,
  19783,
  19784,
  19785,
  19786,
  19787,
  19788,
  19789,
  19790,
  19791,
  19792,
  19793,
  19794,
  19795,
  19796,
  19797,
  19798,
  19799,
  19800,
  19801,
  19802,
  19803,
  19804,
  19805,
  19806,
  19807,
  19808,
  19809,
  19810,
  19811
 ]
}
*/
