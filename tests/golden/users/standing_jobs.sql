SELECT job_type, countIf(state = 0) AS queued, countIf(state = 1) AS started
FROM
(
    SELECT job_type, bitAnd(latest, 3) AS state
    FROM jobs FINAL
)
GROUP BY job_type

/* bound:
{}
*/
