SELECT grouping(piece, slot, country, device, platform) AS part, piece, slot, country, device, platform,
    sum(attempts) AS attempts, sum(bitrate_ms) AS bitrate_ms, sum(bitrate_weight) AS bitrate_weight, sum(comments) AS comments, sum(completions) AS completions, sum(fatals) AS fatals, sum(likes) AS likes, sum(rebuffer_ms) AS rebuffer_ms, sum(shares) AS shares, sum(views) AS views, sum(watched_ms) AS watched_ms
FROM
(
    SELECT
        multiIf(occurred_at < {before_start:DateTime64(3, 'UTC')}, 3, occurred_at < {before_end:DateTime64(3, 'UTC')}, 0, occurred_at < {start:DateTime64(3, 'UTC')}, 3, occurred_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, occurred_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(occurred_at)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        0 AS attempts,
        toUInt64(d_bitrate_ms) AS bitrate_ms,
        toUInt64(d_bitrate_weight) AS bitrate_weight,
        0 AS comments,
        0 AS completions,
        0 AS fatals,
        0 AS likes,
        toUInt64(d_rebuffer_ms) AS rebuffer_ms,
        0 AS shares,
        0 AS views,
        toUInt64(d_watched_ms) AS watched_ms
    FROM playback_events
    WHERE video_id = {video:String} AND occurred_at >= {cut_from:DateTime64(3, 'UTC')} AND occurred_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(occurred_at), 900) IN {cut:Array(UInt32)} AND d_bitrate_ms + d_bitrate_weight + d_rebuffer_ms + d_watched_ms > 0
    UNION ALL
    SELECT
        multiIf(started_at < {before_start:DateTime64(3, 'UTC')}, 3, started_at < {before_end:DateTime64(3, 'UTC')}, 0, started_at < {start:DateTime64(3, 'UTC')}, 3, started_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, started_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(started_at)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        0 AS attempts,
        0 AS bitrate_ms,
        0 AS bitrate_weight,
        0 AS comments,
        toUInt64(d_completions) AS completions,
        0 AS fatals,
        0 AS likes,
        0 AS rebuffer_ms,
        0 AS shares,
        toUInt64(d_views) AS views,
        0 AS watched_ms
    FROM playback_events
    WHERE video_id = {video:String} AND (video_id, view_id) IN (SELECT video_id, view_id FROM view_starts WHERE video_id = {video:String} AND started_at >= {cut_from:DateTime64(3, 'UTC')} AND started_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(started_at), 900) IN {cut:Array(UInt32)}) AND started_at >= {cut_from:DateTime64(3, 'UTC')} AND started_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(started_at), 900) IN {cut:Array(UInt32)} AND d_completions + d_views > 0
    UNION ALL
    SELECT
        multiIf(attempted_at < {before_start:DateTime64(3, 'UTC')}, 3, attempted_at < {before_end:DateTime64(3, 'UTC')}, 0, attempted_at < {start:DateTime64(3, 'UTC')}, 3, attempted_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, attempted_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(attempted_at)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        toUInt64(d_attempts) AS attempts,
        0 AS bitrate_ms,
        0 AS bitrate_weight,
        0 AS comments,
        0 AS completions,
        toUInt64(d_fatals) AS fatals,
        0 AS likes,
        0 AS rebuffer_ms,
        0 AS shares,
        0 AS views,
        0 AS watched_ms
    FROM playback_events
    WHERE video_id = {video:String} AND attempted_at >= {cut_from:DateTime64(3, 'UTC')} AND attempted_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(attempted_at), 900) IN {cut:Array(UInt32)} AND d_attempts + d_fatals > 0
    UNION ALL
    SELECT
        multiIf(occurred_at < {before_start:DateTime64(3, 'UTC')}, 3, occurred_at < {before_end:DateTime64(3, 'UTC')}, 0, occurred_at < {start:DateTime64(3, 'UTC')}, 3, occurred_at < {elapsed_end:DateTime64(3, 'UTC')}, 1, occurred_at < {end:DateTime64(3, 'UTC')}, 2, 3) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(occurred_at)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        0 AS attempts,
        0 AS bitrate_ms,
        0 AS bitrate_weight,
        toUInt64(type = 'video.comment') AS comments,
        0 AS completions,
        0 AS fatals,
        toUInt64(type = 'video.like') AS likes,
        0 AS rebuffer_ms,
        toUInt64(type = 'video.share') AS shares,
        0 AS views,
        0 AS watched_ms
    FROM user_events
    WHERE video_id = {video:String} AND occurred_at >= {cut_from:DateTime64(3, 'UTC')} AND occurred_at < {cut_to:DateTime64(3, 'UTC')} AND intDiv(toUnixTimestamp(occurred_at), 900) IN {cut:Array(UInt32)} AND type IN ('video.comment', 'video.like', 'video.share')
)
WHERE piece != 3
GROUP BY GROUPING SETS ((piece), (slot), (country), (device), (platform))

/* bound:
{
 "before_start": "2024-02-29 23:55:00.002",
 "before_end": "2024-03-01 00:00:00.001",
 "start": "2024-03-01 00:00:00.001",
 "elapsed_end": "2024-03-01 00:05:00.000",
 "end": "2024-03-01 00:05:00.000",
 "cut_from": "2024-02-29 23:45:00.000",
 "cut_to": "2024-03-01 00:15:00.000",
 "cut": [
  1899167,
  1899168
 ],
 "video": "x' OR 1=1; DROP TABLE video_15m --",
 "edges": [
  1709251200
 ]
}
*/
