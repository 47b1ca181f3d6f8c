SELECT
    countIf(videos.s_views > 0) AS videos,
    sum(videos.s_comments) AS total_comments,
    sum(videos.s_completions) AS total_completions,
    sum(videos.s_likes) AS total_likes,
    sum(videos.s_parts) AS total_parts,
    sum(videos.s_shares) AS total_shares,
    sum(videos.s_sized) AS total_sized,
    sum(videos.s_views) AS total_views,
    sum(videos.s_watched_ms) AS total_watched_ms,
    sumIf(videos.s_completions, NOT live) AS recorded_completions,
    sumIf(videos.s_views, NOT live) AS recorded_views,
    sumIf(videos.s_comments, videos.s_views > 0) AS viewed_comments,
    sumIf(videos.s_likes, videos.s_views > 0) AS viewed_likes,
    groupArraySortedIf(10)((-toInt64(videos.s_views), -toInt64(videos.s_watched_ms), video_id, videos.s_comments, videos.s_completions, videos.s_likes, videos.s_parts, videos.s_shares, videos.s_sized, videos.s_views, videos.s_watched_ms), videos.s_views > 0) AS top
FROM
(
    SELECT video_id, video_id IN (SELECT video_id FROM video_catalog WHERE video_id IN (SELECT video_id FROM video_catalog WHERE live) GROUP BY video_id HAVING argMax(live AND NOT deleted, (received_at, offset))) AS live,
        sum(comments) AS s_comments, sum(completions) AS s_completions, sum(likes) AS s_likes, sum(parts) AS s_parts, sum(shares) AS s_shares, sum(sized) AS s_sized, sum(views) AS s_views, sum(watched_ms) AS s_watched_ms
    FROM
    (
        SELECT
            video_id,
            comments,
            completions,
            likes,
            parts,
            shares,
            sized,
            views,
            watched_ms
        FROM video_days
        WHERE (day >= {day0_from:Date} AND day < {day0_to:Date})
    )
    GROUP BY video_id
) AS videos

/* bound:
{
 "before_start": "2024-03-01 00:00:00.000",
 "before_end": "2024-03-01 00:00:00.000",
 "start": "2024-03-01 00:00:00.000",
 "elapsed_end": "2024-03-31 00:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "day0_from": "2024-03-01",
 "day0_to": "2024-03-31"
}
*/
