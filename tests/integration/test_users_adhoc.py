"""What analysts read of users and sessions with SQL of their own is what the oracle says."""

from __future__ import annotations

import asyncio
from random import Random

from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from tests.audience.landing import land
from tests.audience.world import now_of, people
from tests.oracle.users import Audience, device_of

NOW = now_of("2050-11-20T08:07:41.250")


async def test_a_row_of_sessions_is_a_session(clickhouse_server: str, clickhouse_database: str) -> None:
    rng = Random(11)
    url = f"{clickhouse_server}/{clickhouse_database}"
    await asyncio.to_thread(migrate, url)
    accepted = people(rng, NOW, sessions=150)
    await land(url, accepted, rng, largest=60)
    truth = Audience(accepted)
    store = ClickHouseReader(url)
    names = list(truth.sessions)
    sql = (
        "SELECT name, device, toUnixTimestamp64Milli(started_at) AS started,"
        " toUnixTimestamp64Milli(ended_at) AS ended, page_views, watched, bounced\n"
        "FROM sessions\n"
        "INNER JOIN (SELECT arrayJoin({names:Array(String)}) AS name, sipHash64(name) AS session) AS ids"
        " USING (session)"
    )
    rows = {row["name"]: row for row in await store.rows(Query(sql, {"names": names}))}
    total = await store.rows(Query("SELECT count() AS sessions FROM sessions", {}))
    await store.close()
    assert total == [{"sessions": len(names)}]
    for name, session in truth.sessions.items():
        assert rows[name] == {
            "name": name,
            "device": device_of(session.first.event),
            "started": session.events[0].at,
            "ended": session.events[-1].at,
            "page_views": session.count("page.view"),
            "watched": any(each.event["type"].startswith("view.") for each in session.events),
            "bounced": session.bounced,
        }
