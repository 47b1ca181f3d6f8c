"""Compares the tables' retention, set when they were created, with the current settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from deploy.operations.diagnosis import Finding, Table, Verdict, finding
from sinks.clickhouse.cluster import LOCAL

_TTL: Final = re.compile(r"\bTTL (?P<since>.+?) \+ toIntervalDay\((?P<days>\d+)\)")
#: The reason that begins the advice about each setting.
_WHY: Final = {
    "raw_retention_days": "workers reject older events, and find duplicates of newer ones in these tables",
    "rollup_retention_days": "the API can answer as far back as these tables reach",
}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table's retention, and the column from which it counts."""

    name: str
    since: str
    days: int


def retention(
    tables: Iterable[Table], setting_of: Mapping[str, str], wanted: Mapping[str, int], cluster: str = ""
) -> list[Finding]:
    """Judge the retention of tables against the settings.

    Args:
        tables: as they are; on a cluster those of one node.
        setting_of: by which setting each table is made, as `migrator.retentions` tells.
        wanted: the settings' values, in days.
        cluster: the clause `ON CLUSTER` of a cluster's statements.
    """
    found: dict[str, list[_Kept]] = {setting: [] for setting in wanted}
    for table in sorted(tables, key=lambda table: table.name):
        told = _TTL.search(table.engine)
        setting = setting_of.get(table.name.removesuffix(LOCAL))
        if told and setting:
            found[setting].append(_Kept(table.name, told["since"], int(told["days"])))
    return [_judged(setting, kept, wanted[setting], cluster) for setting, kept in found.items()]


def _judged(setting: str, tables: list[_Kept], wanted: int, cluster: str) -> Finding:
    other = [table for table in tables if table.days != wanted]
    by_days: dict[int, list[str]] = {}
    for table in other:
        by_days.setdefault(table.days, []).append(table.name)
    told = "; ".join(f"{days} days in {', '.join(names)}" for days, names in sorted(by_days.items()))
    # Once the first copy of an event is deleted, a repeat would count.
    forgets = setting == "raw_retention_days" and any(table.days < wanted for table in other)
    statements = ";\n".join(
        f"ALTER TABLE {f'{table.name} {cluster}'.rstrip()} MODIFY TTL {table.since} + INTERVAL {wanted} DAY"
        for table in other
    )
    return finding(
        "ClickHouse",
        setting.upper(),
        (Verdict.FAIL if forgets else Verdict.WARN) if other else None,
        f"{wanted} by the settings, but {told}" if other else f"{wanted} days in {len(tables)} tables",
        f"{_WHY[setting]}: set {setting.upper()} of workers, API and commands to the tables' value, or"
        f" change the tables:\n{statements}",
    )
