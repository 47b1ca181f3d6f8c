SELECT device, sum(toInt64(sign)) AS sessions, sum(sign * duration_ms) AS durations_ms
FROM
(
    SELECT
        state.1 AS sign,
        state.2.1 AS first_of,
        state.2.2 AS last_of,
        state.2.3 AS page_views,
        state.2.4 AS acted,
        state.2.5 = 1 AS watched,
        bitShiftRight(first_of, 64) AS opening,
        toInt64(bitShiftRight(opening, 4)) AS opened_ms,
        toUInt8(bitAnd(opening, 15)) AS device,
        toUInt64(bitAnd(first_of, 18446744073709551615)) AS user,
        toUnixTimestamp64Milli(last_of) - opened_ms AS duration_ms,
        page_views <= 1 AND duration_ms < 10000 AND NOT watched AND acted = 0 AS bounced
    FROM
    (
        SELECT arrayJoin(arrayConcat([(toInt8(1), now)], if(known, [(toInt8(-1), then)], []))) AS state
        FROM
        (
            SELECT
                (min(first), max(last), sum(pages), sum(actions), max(played)) AS now,
                (minIf(first, day < {open:Date}), maxIf(last, day < {open:Date}), sumIf(pages, day < {open:Date}), sumIf(actions, day < {open:Date}), maxIf(played, day < {open:Date})) AS then,
                countIf(day < {open:Date}) > 0 AS known
            FROM session_days
            WHERE day >= {day_from:Date} AND day <= {day_to:Date} AND session IN
            (
                SELECT session FROM session_days WHERE day >= {open:Date}
            )
            GROUP BY session
        )
    )
    WHERE opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}
)
GROUP BY device

/* bound:
{
 "start_ms": 1711238400000,
 "end_ms": 1711843200000,
 "day_from": "2024-03-17",
 "day_to": "2024-04-06",
 "open": "2024-03-30"
}
*/
