SELECT grouping(piece, slot, country, device, platform) AS part, piece, slot, country, device, platform,
    sum(views) AS views
FROM
(
    SELECT
        multiIf(bucket < toDateTime({start:DateTime64(3, 'UTC')}), 0, bucket < toDateTime({elapsed_end:DateTime64(3, 'UTC')}), 1, 2) AS piece,
        if(piece = 0, 0, roundDown(toUInt32(toUnixTimestamp(bucket)), {edges:Array(UInt32)})) AS slot,
        if(piece = 0, '', country) AS country,
        if(piece = 0, '', device) AS device,
        if(piece = 0, '', platform) AS platform,
        views
    FROM video_15m
    WHERE video_id = {video:String} AND (bucket >= {from0:DateTime('UTC')} AND bucket < {to0:DateTime('UTC')} OR bucket >= {from1:DateTime('UTC')} AND bucket < {to1:DateTime('UTC')})
)
WHERE piece != 3
GROUP BY GROUPING SETS ((piece), (slot), (country), (device), (platform))

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
 "to1": "2024-03-31 00:00:00",
 "video": "x' OR 1=1; DROP TABLE video_15m --",
 "edges": [
  1709251200,
  1709337600,
  1709424000,
  1709510400,
  1709596800,
  1709683200,
  1709769600,
  1709856000,
  1709942400,
  1710028800,
  1710115200,
  1710201600,
  1710288000,
  1710374400,
  1710460800,
  1710547200,
  1710633600,
  1710720000,
  1710806400,
  1710892800,
  1710979200,
  1711065600,
  1711152000,
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
