SELECT video_id, argMax(title, (received_at, offset)) AS newest
FROM video_catalog
WHERE video_id IN {videos:Array(String)}
GROUP BY video_id HAVING NOT argMax(deleted, (received_at, offset))

/* bound:
{
 "videos": [
  "x' OR 1=1; DROP TABLE video_15m --"
 ]
}
*/
