SELECT grouping(name) AS whole, kind, name, sum(events) AS events, sum(errors) AS errors,
    sum(duration_ms) AS duration_ms, sum(bytes) AS bytes
FROM
(
    SELECT minute, kind, name, events, errors, duration_ms, bytes
    FROM system_1m
    WHERE kind IN {kinds:Array(String)} AND (minute >= {whole0_from:DateTime64(3, 'UTC')} AND minute < {whole0_to:DateTime64(3, 'UTC')})
)
GROUP BY GROUPING SETS ((kind), (kind, name))
ORDER BY whole DESC, events DESC, name
LIMIT 1000 BY whole, kind, if(kind = 'api.request', '', name)

/* bound:
{
 "kinds": [
  "api.request",
  "job",
  "job.untimed",
  "storage.op"
 ],
 "whole0_from": "2024-03-30 13:06:00.000",
 "whole0_to": "2024-03-30 14:06:00.000"
}
*/
