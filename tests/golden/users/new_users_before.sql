SELECT 1 AS everyone, '' AS source, count() AS users FROM (SELECT user FROM users FINAL WHERE first_seen >= {start:DateTime64(3, 'UTC')} AND first_seen < {end:DateTime64(3, 'UTC')})
UNION ALL
SELECT 0 AS everyone, first_source AS source, count() AS users
FROM
(
    SELECT user, toString(argMin(source, (signed_up, source))) AS first_source
    FROM signups
    WHERE user IN (SELECT user FROM users FINAL WHERE first_seen >= {start:DateTime64(3, 'UTC')} AND first_seen < {end:DateTime64(3, 'UTC')}) AND signed_up < {before:DateTime64(3, 'UTC')}
    GROUP BY user
)
GROUP BY source

/* bound:
{
 "start": "2024-03-24 00:00:00.000",
 "end": "2024-03-30 00:00:00.000",
 "before": "2024-03-30 00:00:00.000"
}
*/
