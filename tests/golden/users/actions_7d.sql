SELECT sum(uploads) AS uploads, sum(comments) AS comments, sum(likes) AS likes, sum(shares) AS shares
FROM
(
    SELECT uploads, comments, likes, shares FROM user_actions_15m WHERE (bucket >= {whole0_from:DateTime64(3, 'UTC')} AND bucket < {whole0_to:DateTime64(3, 'UTC')})
)

/* bound:
{
 "whole0_from": "2024-03-24 00:00:00.000",
 "whole0_to": "2024-03-31 00:00:00.000"
}
*/
