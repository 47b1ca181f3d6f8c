"""Every number of both system endpoints against the oracle, for random worlds and ragged windows."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.parameters import QuestionParser
from api.system_service import SystemService
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.system_reader import ClickHouseSystem
from streams.domain.system_readings import QUANTILE_ERROR
from streams.domain.windows import rfc3339
from tests.audience.comparison import differences
from tests.audience.landing import land
from tests.audience.world import ZONES, now_of, services, stretch
from tests.oracle import windows
from tests.oracle.system import Platform

NOW = now_of("2050-11-20T08:07:41.250")


def within_a_percent(answer: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    """Check the quantiles, which may be less than 1 % too low, and return the answer with the true ones."""
    for name in ("p95", "p99"):
        true = truth["responseTime"][name]
        if true is None:
            assert answer["responseTime"][name] is None
        else:
            assert true * (1 - QUANTILE_ERROR) - 1e-6 <= answer["responseTime"][name] <= true + 1e-6
    return answer | {"responseTime": truth["responseTime"] | {"average": answer["responseTime"]["average"]}}


@pytest.mark.parametrize(("seed", "events"), [(0, 2000), (1, 300), (2, 0)])
async def test_every_number_is_the_oracles(
    seed: int, events: int, clickhouse_server: str, clickhouse_database: str
) -> None:
    rng = Random(seed)
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    accepted = services(rng, NOW, events=events)
    rng.shuffle(accepted)
    await land(url, accepted, rng)
    truth = Platform(accepted)
    store = ClickHouseReader(url)
    service = SystemService(ClickHouseSystem(store))

    async def compare(window: windows.Window, **asked: Any) -> None:
        parser = QuestionParser(NOW, raw_retention_days=180, rollup_retention_days=1100)
        ask = parser.parse(**({"period": None, "default": "", "start": None, "end": None} | asked))
        answer = (await service.health(ask))["data"]
        health = truth.health(window)
        assert not list(differences(within_a_percent(answer, health), health)), asked
        answer = (await service.performance(ask))["data"]
        assert not list(differences(answer, truth.performance(window, NOW))), asked

    first = min((each.at for each in accepted), default=None)
    beginning = None if first is None else datetime.fromtimestamp(first / 1000, NOW.tzinfo)
    for zone in rng.sample(ZONES, 2):
        for period in ("1h", "24h", "1d", "7d", "30d", "all"):
            await compare(windows.period(period, NOW, ZoneInfo(zone), beginning), period=period, zone=zone)
        # Where nothing ever happened, every window is as empty as the next one.
        for _ in range(12 if events else 3):
            start, end = stretch(rng, NOW, accepted)
            await compare(
                windows.custom(start, end, ZoneInfo(zone)), start=rfc3339(start), end=rfc3339(end), zone=zone
            )
    await store.close()
