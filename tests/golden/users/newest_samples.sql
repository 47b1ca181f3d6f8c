SELECT cpu, load, memory_used_bytes, memory_total_bytes, storage_used_bytes, storage_total_bytes
FROM host_samples
WHERE (host, occurred_at) IN
(
    SELECT host, max(occurred_at) FROM host_samples WHERE occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')} GROUP BY host
)
ORDER BY host, event_id DESC
LIMIT 1 BY host

/* bound:
{
 "start": "2024-03-29 14:06:00.000",
 "end": "2024-03-30 14:06:00.000"
}
*/
