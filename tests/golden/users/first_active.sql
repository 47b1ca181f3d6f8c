SELECT minOrNull(toUnixTimestamp(toDateTime(day, 'UTC')) + 900 * (bitCount(bitXor(slots, slots - 1)) - 1)) AS first FROM user_days WHERE day = (SELECT min(day) FROM user_days)

/* bound:
{}
*/
