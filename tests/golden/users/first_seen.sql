SELECT toUnixTimestamp64Milli(minOrNull(first_seen)) AS first FROM users

/* bound:
{}
*/
