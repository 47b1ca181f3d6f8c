SELECT sum(uploads) AS uploads, sum(comments) AS comments, sum(likes) AS likes, sum(shares) AS shares
FROM
(
    SELECT uploads, comments, likes, shares FROM user_actions_15m WHERE (bucket >= {whole0_from:DateTime64(3, 'UTC')} AND bucket < {whole0_to:DateTime64(3, 'UTC')})
    UNION ALL
    SELECT toUInt64(type = 'video.upload') AS uploads, toUInt64(type = 'video.comment') AS comments, toUInt64(type = 'video.like') AS likes, toUInt64(type = 'video.share') AS shares FROM user_events WHERE (occurred_at >= {ragged0_from:DateTime64(3, 'UTC')} AND occurred_at < {ragged0_to:DateTime64(3, 'UTC')} OR occurred_at >= {ragged1_from:DateTime64(3, 'UTC')} AND occurred_at < {ragged1_to:DateTime64(3, 'UTC')}) AND type IN ('video.upload', 'video.comment', 'video.like', 'video.share')
)

/* bound:
{
 "whole0_from": "2024-03-29 14:15:00.000",
 "whole0_to": "2024-03-30 14:00:00.000",
 "ragged0_from": "2024-03-29 14:06:00.000",
 "ragged0_to": "2024-03-29 14:15:00.000",
 "ragged1_from": "2024-03-30 14:00:00.000",
 "ragged1_to": "2024-03-30 14:06:00.000"
}
*/
