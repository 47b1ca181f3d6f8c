SELECT cohort, inside, count() AS users
FROM
(
    SELECT user, intDiv(toInt64(toUnixTimestamp(min(first_seen))) + transform(roundDown(toInt64(toUnixTimestamp(min(first_seen))), {since:Array(Int64)}), {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), 86400) AS cohort, min(first_seen) >= {start:DateTime64(3, 'UTC')} AS inside
    FROM users
    WHERE user IN (SELECT user FROM users WHERE first_seen >= {open:DateTime64(3, 'UTC')})
    GROUP BY user
    HAVING min(first_seen) >= greatest({open:DateTime64(3, 'UTC')}, {reach:DateTime64(3, 'UTC')}) AND min(first_seen) < {end:DateTime64(3, 'UTC')}
)
GROUP BY cohort, inside

/* bound:
{
 "reach": "2024-02-23 00:00:00.000",
 "start": "2024-03-24 00:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "since": [
  1708646399
 ],
 "offsets": [
  0
 ],
 "open": "2024-03-30 00:00:00.000"
}
*/
