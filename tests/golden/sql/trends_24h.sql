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
    UNION ALL
    SELECT
        multiIf(occurred_at < {before_start:DateTime64(3, 'UTC')}, 3, occurred_at < {before_end:DateTime64(3, 'UTC')}, 0, occurred_at < {start:DateTime64(3, 'UTC')}, 3, occurred_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, occurred_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        0 AS comments,
        0 AS completions,
        0 AS likes,
        0 AS parts,
        0 AS shares,
        0 AS sized,
        0 AS views,
        toUInt64(d_watched_ms) AS watched_ms
    FROM playback_events
    WHERE occurred_at >= {cut_from:DateTime64(3, 'UTC')} AND occurred_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(occurred_at), 900) IN {cut:Array(UInt32)} AND d_watched_ms > 0
    UNION ALL
    SELECT
        multiIf(started_at < {before_start:DateTime64(3, 'UTC')}, 3, started_at < {before_end:DateTime64(3, 'UTC')}, 0, started_at < {start:DateTime64(3, 'UTC')}, 3, started_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, started_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        0 AS comments,
        toUInt64(d_completions) AS completions,
        0 AS likes,
        toUInt64(d_parts) AS parts,
        0 AS shares,
        toUInt64(d_sized) AS sized,
        toUInt64(d_views) AS views,
        0 AS watched_ms
    FROM playback_events
    WHERE (video_id, view_id) IN (SELECT video_id, view_id FROM view_starts WHERE started_at >= {cut_from:DateTime64(3, 'UTC')} AND started_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(started_at), 900) IN {cut:Array(UInt32)}) AND started_at >= {cut_from:DateTime64(3, 'UTC')} AND started_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(started_at), 900) IN {cut:Array(UInt32)} AND d_completions + d_parts + d_sized + d_views > 0
    UNION ALL
    SELECT
        multiIf(occurred_at < {before_start:DateTime64(3, 'UTC')}, 3, occurred_at < {before_end:DateTime64(3, 'UTC')}, 0, occurred_at < {start:DateTime64(3, 'UTC')}, 3, occurred_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, occurred_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        toUInt64(type = 'video.comment') AS comments,
        0 AS completions,
        toUInt64(type = 'video.like') AS likes,
        0 AS parts,
        toUInt64(type = 'video.share') AS shares,
        0 AS sized,
        0 AS views,
        0 AS watched_ms
    FROM user_events
    WHERE occurred_at >= {cut_from:DateTime64(3, 'UTC')} AND occurred_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(occurred_at), 900) IN {cut:Array(UInt32)} AND type IN ('video.comment', 'video.like', 'video.share')
)
WHERE piece IN (0, 1)
GROUP BY piece

/* bound:
{
 "before_start": "2024-03-28 14:06:00.000",
 "before_end": "2024-03-29 14:05:00.000",
 "start": "2024-03-29 14:06:00.000",
 "elapsed_end": "2024-03-30 14:05:00.000",
 "end": "2024-03-30 14:06:00.000",
 "from0": "2024-03-28 14:15:00",
 "to0": "2024-03-29 14:00:00",
 "from1": "2024-03-29 14:15:00",
 "to1": "2024-03-30 14:00:00",
 "cut_from": "2024-03-28 14:00:00.000",
 "cut_to": "2024-03-30 14:15:00.000",
 "cut": [
  1901816,
  1901912,
  1902008
 ]
}
*/
