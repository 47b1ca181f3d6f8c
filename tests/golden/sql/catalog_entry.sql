SELECT count() AS versions, argMax(title, (received_at, offset)) AS title, argMax(live, (received_at, offset)) AS live, argMax(deleted, (received_at, offset)) AS deleted,
    (SELECT toUnixTimestamp(minOrNull(bucket)) FROM video_15m WHERE video_id = {video:String}) AS first
FROM video_catalog
WHERE video_id = {video:String}

/* bound:
{
 "video": "x' OR 1=1; DROP TABLE video_15m --"
}
*/
