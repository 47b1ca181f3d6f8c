SELECT countIf(newest <= {until:DateTime64(3, 'UTC')}) AS watching
FROM
(
SELECT max(occurred_at) AS newest
FROM playback_events
WHERE occurred_at > {since:DateTime64(3, 'UTC')}
GROUP BY video_id, view_id
)

/* bound:
{
 "since": "2024-03-30 14:04:57.312",
 "until": "2024-03-30 14:10:27.312"
}
*/
