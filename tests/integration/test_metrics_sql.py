"""The SQL that docs/metrics.md gives for a metric computes what the API answers."""

from __future__ import annotations

import json
import urllib.request
from random import Random

import pytest

from streams.domain.definitions import METRICS
from streams.domain.measures import MEASURES


@pytest.mark.parametrize("seed", range(8))
def test_the_sql_of_a_formula_is_the_formula(clickhouse_server: str, seed: int) -> None:
    random = Random(seed)
    sums = {name: random.choice((0, random.randrange(20), random.randrange(10**10))) for name in MEASURES}
    formulas = list(dict.fromkeys(metric.formula for metric in METRICS if metric.formula))
    row = ", ".join(f"toUInt64({number}) AS {name}" for name, number in sums.items())
    columns = ", ".join(f"toFloat64({each.sql}) AS c{place}" for place, each in enumerate(formulas))
    query = f"SELECT {columns} FROM (SELECT {row}) FORMAT JSONCompactEachRow"
    with urllib.request.urlopen(clickhouse_server, data=query.encode(), timeout=30) as answer:
        told = json.loads(answer.read())
    for formula, given in zip(formulas, told, strict=True):
        wanted = formula(sums)
        assert given == (None if wanted is None else pytest.approx(wanted, rel=1e-12)), formula.sql
