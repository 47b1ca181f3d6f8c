SELECT if(grouping(slot) = 1, 15, 23) AS part, piece, slot,
    sum(attempts) AS attempts, sum(bitrate_ms) AS bitrate_ms, sum(bitrate_weight) AS bitrate_weight, sum(fatals) AS fatals, sum(rebuffer_ms) AS rebuffer_ms, sum(watched_ms) AS watched_ms
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
        fatals,
        rebuffer_ms,
        watched_ms
    FROM video_15m
    WHERE video_id = {video:String} AND (bucket >= {from0:DateTime('UTC')} AND bucket < {to0:DateTime('UTC')})
)
WHERE piece != 3
GROUP BY GROUPING SETS ((piece), (slot))

/* bound:
{
 "before_start": "2024-03-24 00:00:00.000",
 "before_end": "2024-03-24 00:00:00.000",
 "start": "2024-03-24 00:00:00.000",
 "elapsed_end": "2024-03-31 00:00:00.000",
 "end": "2024-03-31 00:00:00.000",
 "from0": "2024-03-24 00:00:00",
 "to0": "2024-03-31 00:00:00",
 "video": "x' OR 1=1; DROP TABLE video_15m --",
 "edges": [
  1711238400,
  1711324800,
  1711411200,
  1711497600,
  1711584000,
  1711670400,
  1711756800
 ]
}
*/
