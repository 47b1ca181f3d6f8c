SELECT grouping(slot) AS whole, slot, uniqExact(user_id) AS users
FROM
(
    SELECT roundDown(toUInt32(toUnixTimestamp(started_at)), {edges:Array(UInt32)}) AS slot, user_id
    FROM view_starts
    WHERE video_id = {video:String} AND started_at >= {start:DateTime64(3, 'UTC')} AND started_at < {end:DateTime64(3, 'UTC')}
)
GROUP BY ROLLUP (slot)

/* bound:
{
 "video": "x' OR 1=1; DROP TABLE video_15m --",
 "start": "2024-03-24 00:00:00.000",
 "end": "2024-03-31 00:00:00.000",
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
