SELECT video_id, countIf(started_at >= {turn:DateTime64(3, 'UTC')}) AS recent, count() - recent AS before
FROM view_starts
WHERE started_at >= {start:DateTime64(3, 'UTC')} AND started_at < {end:DateTime64(3, 'UTC')}
GROUP BY video_id HAVING recent >= 3
ORDER BY recent DESC, video_id LIMIT 1000

/* bound:
{
 "start": "2024-03-30 13:06:00.000",
 "end": "2024-03-30 14:06:00.000",
 "turn": "2024-03-30 13:56:00.000"
}
*/
