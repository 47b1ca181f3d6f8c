SELECT
    toUInt64(user) AS user,
    toUInt8(groupBitOr(active)) AS bits
FROM
(
    SELECT user, toUInt8(1 * ((day >= {p0:Date} AND day < {p1:Date})) + 2 * ((day >= {p2:Date} AND day < {p3:Date}))) AS active
    FROM user_days
    WHERE day >= {p4:Date} AND day <= {p5:Date} AND active != 0
    UNION ALL
    SELECT user, toUInt8(if(first_seen < {start:DateTime64(3, 'UTC')}, 64, 0)) AS active
    FROM users
    WHERE first_seen < {midnight:DateTime64(3, 'UTC')}
    UNION ALL
    SELECT user, toUInt8(128) AS active
    FROM signups
    WHERE signed_up < {midnight:DateTime64(3, 'UTC')}
)
GROUP BY user
ORDER BY user
LIMIT {most:UInt64}

/* bound:
{
 "p0": "2024-03-24",
 "p1": "2024-03-31",
 "p2": "2024-03-17",
 "p3": "2024-03-24",
 "p4": "2024-03-17",
 "p5": "2024-03-29",
 "start": "2024-03-24 00:00:00.000",
 "midnight": "2024-03-30 00:00:00.000"
}
*/
