SELECT video_id FROM video_catalog WHERE video_id IN (SELECT video_id FROM video_catalog WHERE live) GROUP BY video_id HAVING argMax(live AND NOT deleted, (received_at, offset))

/* bound:
{}
*/
