SELECT piece, sum(comments) AS s_comments, sum(completions) AS s_completions, sum(likes) AS s_likes, sum(parts) AS s_parts, sum(shares) AS s_shares, sum(sized) AS s_sized, sum(views) AS s_views, sum(watched_ms) AS s_watched_ms
FROM
(
    SELECT
        multiIf(bucket < toDateTime({start:DateTime64(3, 'UTC')}), 0, bucket < toDateTime({elapsed_end:DateTime64(3, 'UTC')}), 1, 2) AS piece,
        comments,
        completions,
        likes,
        parts,
        shares,
        sized,
        views,
        watched_ms
    FROM all_videos_15m
    WHERE (bucket >= {from0:DateTime('UTC')} AND bucket < {to0:DateTime('UTC')} OR bucket >= {from1:DateTime('UTC')} AND bucket < {to1:DateTime('UTC')})
)
WHERE piece IN (0, 1)
GROUP BY piece

/* bound:
{
 "before_start": "2024-01-31 00:00:00.000",
 "before_end": "2024-02-29 14:00:00.000",
 "start": "2024-03-01 00:00:00.000",
 "elapsed_end": "2024-03-30 14:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "from0": "2024-01-31 00:00:00",
 "to0": "2024-02-29 14:00:00",
 "from1": "2024-03-01 00:00:00",
 "to1": "2024-03-31 00:00:00"
}
*/
