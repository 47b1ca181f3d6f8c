SELECT change.1 AS source, sum(toInt64(change.2)) AS users
FROM
(
    SELECT arrayJoin(arrayConcat([(latest, 1)], if(known, [(earlier, -1)], []))) AS change
    FROM
    (
        SELECT user, toString(argMin(source, (signed_up, source))) AS latest,
            toString(argMinIf(source, (signed_up, source), signed_up < {open:DateTime64(3, 'UTC')})) AS earlier,
            countIf(signed_up < {open:DateTime64(3, 'UTC')}) > 0 AS known
        FROM signups
        WHERE user IN
        (
            SELECT user FROM users
            WHERE user IN (SELECT user FROM signups WHERE signed_up >= {open:DateTime64(3, 'UTC')})
            GROUP BY user HAVING min(first_seen) >= {start:DateTime64(3, 'UTC')} AND min(first_seen) < {end:DateTime64(3, 'UTC')}
        )
        GROUP BY user
    )
)
GROUP BY source

/* bound:
{
 "start": "2024-03-24 00:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "open": "2024-03-30 00:00:00.000"
}
*/
