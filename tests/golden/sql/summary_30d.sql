SELECT
    countIf(videos.total_views > 0) AS videos,
    sum(videos.total_comments) AS total_comments,
    sum(videos.total_completions) AS total_completions,
    sum(videos.total_likes) AS total_likes,
    sum(videos.total_parts) AS total_parts,
    sum(videos.total_shares) AS total_shares,
    sum(videos.total_sized) AS total_sized,
    sum(videos.total_views) AS total_views,
    sum(videos.total_watched_ms) AS total_watched_ms,
    sum(videos.elapsed_comments) AS elapsed_comments,
    sum(videos.elapsed_completions) AS elapsed_completions,
    sum(videos.elapsed_likes) AS elapsed_likes,
    sum(videos.elapsed_parts) AS elapsed_parts,
    sum(videos.elapsed_shares) AS elapsed_shares,
    sum(videos.elapsed_sized) AS elapsed_sized,
    sum(videos.elapsed_views) AS elapsed_views,
    sum(videos.elapsed_watched_ms) AS elapsed_watched_ms,
    sum(videos.before_comments) AS before_comments,
    sum(videos.before_completions) AS before_completions,
    sum(videos.before_likes) AS before_likes,
    sum(videos.before_parts) AS before_parts,
    sum(videos.before_shares) AS before_shares,
    sum(videos.before_sized) AS before_sized,
    sum(videos.before_views) AS before_views,
    sum(videos.before_watched_ms) AS before_watched_ms,
    sumIf(videos.total_completions, NOT live) AS recorded_completions,
    sumIf(videos.total_views, NOT live) AS recorded_views,
    sumIf(videos.total_comments, videos.total_views > 0) AS viewed_comments,
    sumIf(videos.total_likes, videos.total_views > 0) AS viewed_likes,
    groupArraySortedIf(10)((-toInt64(videos.total_views), -toInt64(videos.total_watched_ms), video_id, videos.total_comments, videos.total_completions, videos.total_likes, videos.total_parts, videos.total_shares, videos.total_sized, videos.total_views, videos.total_watched_ms), videos.total_views > 0) AS top
FROM
(
    SELECT video_id, video_id IN (SELECT video_id FROM video_catalog WHERE video_id IN (SELECT video_id FROM video_catalog WHERE live) GROUP BY video_id HAVING argMax(live AND NOT deleted, (received_at, offset))) AS live,
        sumIf(comments, piece != 0) AS total_comments,
        sumIf(completions, piece != 0) AS total_completions,
        sumIf(likes, piece != 0) AS total_likes,
        sumIf(parts, piece != 0) AS total_parts,
        sumIf(shares, piece != 0) AS total_shares,
        sumIf(sized, piece != 0) AS total_sized,
        sumIf(views, piece != 0) AS total_views,
        sumIf(watched_ms, piece != 0) AS total_watched_ms,
        sumIf(comments, piece = 1) AS elapsed_comments,
        sumIf(completions, piece = 1) AS elapsed_completions,
        sumIf(likes, piece = 1) AS elapsed_likes,
        sumIf(parts, piece = 1) AS elapsed_parts,
        sumIf(shares, piece = 1) AS elapsed_shares,
        sumIf(sized, piece = 1) AS elapsed_sized,
        sumIf(views, piece = 1) AS elapsed_views,
        sumIf(watched_ms, piece = 1) AS elapsed_watched_ms,
        sumIf(comments, piece = 0) AS before_comments,
        sumIf(completions, piece = 0) AS before_completions,
        sumIf(likes, piece = 0) AS before_likes,
        sumIf(parts, piece = 0) AS before_parts,
        sumIf(shares, piece = 0) AS before_shares,
        sumIf(sized, piece = 0) AS before_sized,
        sumIf(views, piece = 0) AS before_views,
        sumIf(watched_ms, piece = 0) AS before_watched_ms
    FROM
    (
        SELECT video_id, piece, sum(comments) AS comments, sum(completions) AS completions, sum(likes) AS likes, sum(parts) AS parts, sum(shares) AS shares, sum(sized) AS sized, sum(views) AS views, sum(watched_ms) AS watched_ms
        FROM
        (
            SELECT
                multiIf(toDateTime(day, 'UTC') < toDateTime({start:DateTime64(3, 'UTC')}), 0, toDateTime(day, 'UTC') < toDateTime({elapsed_end:DateTime64(3, 'UTC')}), 1, 2) AS piece,
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
            WHERE (day >= {day0_from:Date} AND day < {day0_to:Date} OR day >= {day1_from:Date} AND day < {day1_to:Date})
            UNION ALL
            SELECT
                multiIf(bucket < toDateTime({start:DateTime64(3, 'UTC')}), 0, bucket < toDateTime({elapsed_end:DateTime64(3, 'UTC')}), 1, 2) AS piece,
                video_id,
                comments,
                completions,
                likes,
                parts,
                shares,
                sized,
                views,
                watched_ms
            FROM video_15m
            WHERE (bucket >= {from0:DateTime('UTC')} AND bucket < {to0:DateTime('UTC')} OR bucket >= {from1:DateTime('UTC')} AND bucket < {to1:DateTime('UTC')})
        )
        WHERE piece != 3
        GROUP BY video_id, piece
    )
    GROUP BY video_id
) AS videos

/* bound:
{
 "before_start": "2024-01-31 00:00:00.000",
 "before_end": "2024-02-29 14:00:00.000",
 "start": "2024-03-01 00:00:00.000",
 "elapsed_end": "2024-03-30 14:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "day0_from": "2024-01-31",
 "day0_to": "2024-02-29",
 "day1_from": "2024-03-01",
 "day1_to": "2024-03-30",
 "from0": "2024-02-29 00:00:00",
 "to0": "2024-02-29 14:00:00",
 "from1": "2024-03-30 00:00:00",
 "to1": "2024-03-31 00:00:00"
}
*/
