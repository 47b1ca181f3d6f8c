SELECT grouping(piece, slot, country, device, platform) AS part, piece, slot, country, device, platform,
    sum(attempts) AS attempts, sum(bitrate_ms) AS bitrate_ms, sum(bitrate_weight) AS bitrate_weight, sum(comments) AS comments, sum(completions) AS completions, sum(fatals) AS fatals, sum(likes) AS likes, sum(rebuffer_ms) AS rebuffer_ms, sum(shares) AS shares, sum(views) AS views, sum(watched_ms) AS watched_ms
FROM
(
    SELECT
        multiIf(bucket < toDateTime({start:DateTime64(3, 'UTC')}), 0, bucket < toDateTime({elapsed_end:DateTime64(3, 'UTC')}), 1, 2) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(bucket)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        attempts,
        bitrate_ms,
        bitrate_weight,
        comments,
        completions,
        fatals,
        likes,
        rebuffer_ms,
        shares,
        views,
        watched_ms
    FROM video_15m
    WHERE video_id = {video:String} AND (bucket >= {from0:DateTime('UTC')} AND bucket < {to0:DateTime('UTC')} OR bucket >= {from1:DateTime('UTC')} AND bucket < {to1:DateTime('UTC')})
    UNION ALL
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
 ],
 "video": "x' OR 1=1; DROP TABLE video_15m --",
 "edges": [
  1711720800,
  1711724400,
  1711728000,
  1711731600,
  1711735200,
  1711738800,
  1711742400,
  1711746000,
  1711749600,
  1711753200,
  1711756800,
  1711760400,
  1711764000,
  1711767600,
  1711771200,
  1711774800,
  1711778400,
  1711782000,
  1711785600,
  1711789200,
  1711792800,
  1711796400,
  1711800000,
  1711803600,
  1711807200
 ]
}
*/
