SELECT kind, sum(events) AS events, sum(errors) AS errors, sum(duration_ms) AS duration_ms
FROM
(
    SELECT minute, kind, name, events, errors, duration_ms, bytes
    FROM system_1m
    WHERE kind IN {kinds:Array(String)} AND (minute >= {whole0_from:DateTime64(3, 'UTC')} AND minute < {whole0_to:DateTime64(3, 'UTC')})
)
GROUP BY kind

/* bound:
{
 "kinds": [
  "api.request",
  "job",
  "storage.op"
 ],
 "whole0_from": "2024-03-29 14:06:00.000",
 "whole0_to": "2024-03-30 14:06:00.000"
}
*/
