SELECT uniqExact(video_id, view_id) AS watching
FROM playback_events
WHERE video_id = {video:String} AND occurred_at > {since:DateTime64(3, 'UTC')}

/* bound:
{
 "since": "2024-03-30 14:04:57.312",
 "video": "x' OR 1=1; DROP TABLE video_15m --"
}
*/
