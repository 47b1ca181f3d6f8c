SELECT count() AS minutes, countIf(failed = 0) AS up
FROM
(
    SELECT minute, sum(errors) AS failed
    FROM
    (
        SELECT minute, kind, name, events, errors, duration_ms, bytes
        FROM system_1m
        WHERE kind IN {kinds:Array(String)} AND (minute >= {whole0_from:DateTime64(3, 'UTC')} AND minute < {whole0_to:DateTime64(3, 'UTC')})
    )
    GROUP BY minute
)

/* bound:
{
 "kinds": [
  "health.probe"
 ],
 "whole0_from": "2024-03-29 14:06:00.000",
 "whole0_to": "2024-03-30 14:06:00.000"
}
*/
