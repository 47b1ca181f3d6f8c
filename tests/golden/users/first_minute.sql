SELECT toUnixTimestamp(minOrNull(minute)) AS first FROM system_1m

/* bound:
{}
*/
