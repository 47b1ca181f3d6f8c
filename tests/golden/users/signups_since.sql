SELECT first_source AS source, groupArray(user) AS users
FROM
(
    SELECT user, toString(argMin(source, (signed_up, source))) AS first_source
    FROM signups
    WHERE signed_up >= {open:DateTime64(3, 'UTC')}
    GROUP BY user
)
GROUP BY source

/* bound:
{
 "open": "2024-03-30 00:00:00.000"
}
*/
