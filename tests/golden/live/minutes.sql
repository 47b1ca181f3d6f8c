SELECT intDiv(toUnixTimestamp64Milli(at), 60000) AS minute, sum(n_views) AS views, sum(n_watched) AS watched_ms, sum(n_likes) AS likes
FROM
(
SELECT started_at AS at, toUInt64(1) AS n_views, toUInt64(0) AS n_watched, toUInt64(0) AS n_likes
FROM view_starts
WHERE started_at >= {start:DateTime64(3, 'UTC')} AND started_at < {end:DateTime64(3, 'UTC')}
UNION ALL
SELECT occurred_at AS at, toUInt64(0) AS n_views, toUInt64(d_watched_ms) AS n_watched, toUInt64(0) AS n_likes
FROM playback_events
WHERE d_watched_ms > 0 AND occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')}
UNION ALL
SELECT occurred_at AS at, toUInt64(0) AS n_views, toUInt64(0) AS n_watched, toUInt64(1) AS n_likes
FROM user_events
WHERE type = 'video.like' AND occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')}
)
GROUP BY minute

/* bound:
{
 "start": "2024-03-30 13:06:00.000",
 "end": "2024-03-30 14:06:00.000"
}
*/
