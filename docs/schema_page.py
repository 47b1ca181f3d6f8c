"""docs/schema.md: the tables in ClickHouse, read from the migrations that make them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import signature
from typing import Final

from sinks.clickhouse.migrator import migrate, migrations
from sinks.clickhouse.statements import split

_INTRODUCTION: Final = """\
<!-- Made by docs/generate.py from sinks/clickhouse/migrations/: change it there, in a new file. -->

# Tables

These are the ClickHouse tables, which you can query with your own SQL: [queries.md](queries.md) has
queries to start from, and [metrics.md](metrics.md) the formula of every number that the API returns.

Each event is inserted once into a raw table. Every other table is a roll-up that a materialized view fills in
the same insert, so raw and rolled-up numbers always agree ([delivery.md](delivery.md)).

- **Sum the `d_` columns** of `playback_events`, never the totals beside them: a `d_` column is what this
  event added to its view.
- **Aggregate when you read** a `SummingMergeTree` or `AggregatingMergeTree`: ClickHouse merges rows with the
  same key only later, so write `sum(views)`, `min(first_seen)`, `groupBitOr(slots)`, and group as you need.
- **`video_catalog`** keeps the newest version of a video: read it with `FINAL`, and `WHERE NOT deleted`.
- **Instants** are UTC: `toDate(started_at, 'Asia/Kolkata')` is the day elsewhere. 1970, 0 and '' mean "no
  value".
- **Countries** are ISO 3166, so the United Kingdom is `GB`; only the API's responses call it `UK`.
"""

_PURPOSES: Final = {
    "playback_events": "Every accepted playback event, with what it added to its view.",
    "user_events": "Every accepted user event.",
    "system_events": "Every accepted system event; fields that a type does not have are 0 or empty.",
    "video_catalog": "Metadata of each video.",
    "ingested_offsets": "The offset up to which each Kafka partition was inserted, as ClickHouse records it.",
    "video_15m": "Counters of each video by quarter of an hour and audience: what the video endpoints read.",
    "view_starts": "One row per started view, for exact unique viewers.",
    "activity": "Stores nothing: the step between the raw tables and everything that counts people.",
    "session_days": "Sessions by day; a session is the rows of its id.",
    "users": "When each user was first seen.",
    "user_days": "On which days, and in which quarters of an hour, each user was active.",
    "signups": "Sign-ups and their source; a user may have several.",
    "user_actions_15m": "Uploads, comments, likes and shares of the whole platform by quarter of an hour.",
    "system_1m": "Requests, jobs, storage operations and probes by minute; finished jobs without a"
    " duration are both `job` and `job.untimed`.",
    "latency_1m": "Distribution of response times by minute.",
    "jobs": "The state of each job.",
    "host_samples": "Resource usage of each host, as sampled.",
    "video_days": "Counters of each video by day, without its audience: what summaries read.",
    "all_videos_15m": "Counters of all videos together by quarter of an hour: what trends compare.",
    "activity_days": "Row counts by day, with which the API detects whether a past day has changed.",
    "forgotten_rows": "How many raw rows `vca forget` removed, by day, without ids.",
    "sessions": "An SQL view for queries about visits: one complete row per session.",
    "views": "An SQL view for queries about playbacks: one complete row per view.",
}

_TABLE: Final = re.compile(
    r"CREATE TABLE (?P<name>\w+)\s*\((?P<body>.*?)^\)\s*ENGINE = (?P<engine>\w+)(?P<rest>.*)",
    re.DOTALL | re.MULTILINE,
)
_COLUMN: Final = re.compile(r"^ {4}(?!INDEX )(\w+)\s+(.+?)(?:\s+COMMENT '(.*)')?,?$", re.MULTILINE)
_ADDED: Final = re.compile(r"ALTER TABLE (?P<table>\w+)\s+ADD COLUMN IF NOT EXISTS (?P<column>.+)")
_VIEW: Final = re.compile(r"CREATE (?:OR REPLACE )?VIEW (?P<name>\w+) AS")
_FEED: Final = re.compile(
    r"CREATE MATERIALIZED VIEW \w+ TO (?P<to>\w+) AS.*?^\s*FROM (?P<of>\w+)", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the migrations make it; columns are (name, type, comment)."""

    name: str
    engine: str
    order: str
    kept: str
    columns: list[tuple[str, str, str]]


def statements() -> list[str]:
    """Return all statements of all migrations, in order."""
    return [statement for migration in migrations() for statement in split(migration.sql)]


def tables() -> list[Table]:
    """Return the tables of all migrations, in order, each with the columns that later ones added."""
    found: dict[str, Table] = {}
    for statement in statements():
        if match := _TABLE.search(statement):
            rest = match["rest"]
            order = re.search(r"ORDER BY (.+)", rest)
            kept = re.search(r"TTL .+?\{(\w+)_retention_days\}", rest)
            found[match["name"]] = Table(
                match["name"],
                match["engine"],
                order[1].strip() if order else "",
                kept[1] if kept else "",
                _columns(match["body"]),
            )
        elif match := _ADDED.search(statement):
            found[match["table"]].columns.extend(_columns(f"    {match['column']}"))
    return list(found.values())


def feeds() -> dict[str, list[str]]:
    """Return by table the tables that feed it through materialized views, in order."""
    found: dict[str, list[str]] = {}
    for statement in statements():
        if (match := _FEED.search(statement)) and match["of"] not in found.setdefault(match["to"], []):
            found[match["to"]].append(match["of"])
    return found


def _columns(body: str) -> list[tuple[str, str, str]]:
    return [(name, kind.strip(), comment) for name, kind, comment in _COLUMN.findall(body)]


def _purpose(name: str) -> str:
    if name not in _PURPOSES:
        raise LookupError(f"docs/schema_page.py: say in _PURPOSES in one sentence what {name} holds")
    return _PURPOSES[name]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(table: Table, fed_by: list[str]) -> list[str]:
    facts = [f"`{table.engine}`"]
    if table.order:
        facts.append(f"ordered by `{table.order.strip('()')}`")
    if fed_by:
        facts.append("fed by " + " and ".join(f"`{name}`" for name in fed_by))
    days = signature(migrate).parameters.get(f"{table.kept}_retention_days")
    if table.engine != "Null":
        facts.append(f"kept {days.default:,} days" if days else "kept forever")
    lines = [f"## `{table.name}`", "", _purpose(table.name), "", f"{', '.join(facts)}.", ""]
    lines += ["| column | type | |", "|---|---|---|"]
    lines += [f"| `{name}` | `{kind}` | {_cell(comment)} |" for name, kind, comment in table.columns]
    return [*lines, ""]


def page() -> str:
    """Return docs/schema.md. Raises `LookupError` for a table or view without a purpose in `_PURPOSES`."""
    lines, fed_by = [_INTRODUCTION], feeds()
    for table in tables():
        lines += _section(table, fed_by.get(table.name, []))
    views = {match["name"]: match for statement in statements() if (match := _VIEW.search(statement))}
    for name, match in views.items():
        lines += [f"## `{name}`", "", _purpose(name), ""]
        lines += ["```text", match.string[match.start() :].strip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"
