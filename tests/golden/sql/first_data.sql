SELECT toUnixTimestamp(minOrNull(bucket)) AS first FROM video_15m

/* bound:
{}
*/
