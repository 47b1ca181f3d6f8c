SELECT quantilesBFloat16Merge(0.95, 0.99)(durations) AS quantiles
FROM
(
    SELECT durations
    FROM latency_1m
    WHERE (minute >= {whole0_from:DateTime64(3, 'UTC')} AND minute < {whole0_to:DateTime64(3, 'UTC')})
)

/* bound:
{
 "whole0_from": "2024-03-29 14:06:00.000",
 "whole0_to": "2024-03-30 14:06:00.000"
}
*/
