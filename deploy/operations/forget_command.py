"""`vca forget`: what the tables hold of a person, shown and removed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.operations.progress import Bar, bar, console
from deploy.operations.running import settings

if TYPE_CHECKING:
    from streams.settings import Settings

#: Other ids of the same sessions that are shown.
_SHOWN: Final = 10
_STAYS: Final = (
    "sums by video and time, in which nobody can be found (`vca rebuild rollups` makes them without"
    " these events)",
    "records in Kafka and its dead letters, until the topics' retention is over: send none of them again",
    "files of exports, until EXPORT_HOURS are over, and backups: forget again after one is restored",
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the persons: rows by table, and what an operator should look at."""

    rows: dict[str, int]
    last_seen: datetime | None
    others: dict[str, int]
    videos_owned: int
    removed: bool = False

    @property
    def total(self) -> int:
        """Return how many rows there are."""
        return sum(self.rows.values())

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "removed": self.removed,
            "rows": self.rows,
            "lastSeen": self.last_seen.isoformat() if self.last_seen else None,
            "alsoInTheirSessions": self.others,
            "videosOwned": self.videos_owned,
        }


class ForgetError(Exception):
    """It cannot be done now, and nothing was changed."""


def forget(
    user: Annotated[
        list[str], typer.Argument(help="Ids as events have them: userId, or viewerId; one or more.")
    ],
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the rows. Without it, only say what there is.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Also when events of theirs came in the last two hours.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Remove from ClickHouse all that it holds of a person, whoever asks for that.

    Without --delete nothing is changed, only shown. Removed are events, and
    rows of users, days, sessions, sign-ups and started views, from disk and on
    every shard and replica. Sums stay: `vca verify` knows why they have more.

    Do it when their last events are two hours old. Redis has forgotten them by
    itself then, and no view of theirs is under way, which would begin anew.
    Events that come later, also old ones from Kafka, make them known again:
    then run it again. Stopped half way, run it again too.

    CLICKHOUSE_URL needs a user who may alter tables, as that of `vca migrate`.
    """
    if not all(user):
        raise typer.BadParameter("an id is empty", param_hint="USER")
    try:
        with bar() as steps:
            known = asyncio.run(run(settings(), user, steps, datetime.now(UTC), delete=delete, anyway=now))
    except ForgetError as error:
        console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if as_json:
        Console().print_json(json.dumps(known.to_json()))
    else:
        _show(Console(), known)


async def run(
    chosen: Settings, users: list[str], steps: Bar, now: datetime, *, delete: bool, anyway: bool
) -> Known:
    """Look, and remove if asked to; raise `ForgetError` when it must wait."""
    from sinks.clickhouse import schema_state
    from sinks.clickhouse.client import READING, database_of
    from sinks.clickhouse.client import connect as connect_clickhouse
    from sinks.clickhouse.forgetting import PERSONAL, Forgetting, cluster_of, hashes_of, is_rebuilt
    from sinks.clickhouse.migrator import checksums

    # Parts of many gigabytes are written anew.
    client = await connect_clickhouse(chosen.clickhouse_url, read_timeout=3600.0, settings=dict(READING))
    try:
        steps.say("looking")
        found = await schema_state.ask(client, checksums())
        if reason := found.mismatch:
            # A table that it does not know may have something of theirs.
            raise ForgetError(reason)
        hashes = await hashes_of(client, users)
        forgetting = Forgetting(client, database_of(chosen.clickhouse_url), hashes, await cluster_of(client))
        known = Known(
            await forgetting.row_counts(),
            await forgetting.last_seen(),
            await forgetting.others_in_sessions(),
            await forgetting.owned(),
        )
        if not delete or not known.total:
            return known
        if await is_rebuilt(client):
            raise ForgetError(
                "`vca rebuild rollups` runs, or was cut short: wait for it, or run it again (`vca doctor`)"
            )
        if not anyway:
            check_silence(known.last_seen, now)
        steps.total(len(PERSONAL))

        def done(table: str) -> None:
            steps.say(table)
            steps.done(1)

        await forgetting.remove(whole_from(now, chosen.raw_retention_days), done)
        if left := {table: rows for table, rows in (await forgetting.row_counts()).items() if rows}:
            told = ", ".join(f"{rows:,} in {table}" for table, rows in left.items())
            raise ForgetError(f"events came meanwhile: {told} are left. Run it again")
        return replace(known, removed=True)
    finally:
        await client.close()


def check_silence(last_seen: datetime | None, now: datetime) -> None:
    """Raise `ForgetError` while Redis and workers may still hold something of a person."""
    from sinks.redis.keys import LIVE_SECONDS

    wait = timedelta(seconds=LIVE_SECONDS)
    if last_seen is not None and now - last_seen < wait:
        raise ForgetError(
            f"the newest event of theirs, or of a session of theirs, is of {last_seen:%Y-%m-%d %H:%M:%S} UTC."
            f" Run this after {last_seen + wait:%H:%M}, when Redis has forgotten it; or with --now, and then"
            " `vca rebuild live`"
        )


def whole_from(now: datetime, retention_days: int) -> date:
    """Return the first day of which all raw events are there."""
    return (now - timedelta(days=retention_days)).date() + timedelta(days=1)


def _show(out: Console, known: Known) -> None:
    if not known.total:
        out.print("ClickHouse holds no rows of theirs", highlight=False)
    else:
        table = Table("table", "rows removed" if known.removed else "rows", box=None)
        table.columns[1].justify = "right"
        for name, rows in known.rows.items():
            table.add_row(name, f"{rows:,}")
        out.print(table, highlight=False)
    if known.last_seen is not None:
        out.print(f"\nlast seen: {known.last_seen:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    if known.others:
        some = ", ".join(f"{escape(name)} ({n:,})" for name, n in list(known.others.items())[:_SHOWN])
        more = len(known.others) - _SHOWN
        out.print(
            f"in sessions of theirs there are also events of {some}{f' and {more} more' if more > 0 else ''}:"
            " the same person before signing in? Then name these ids as well",
            highlight=False,
            soft_wrap=True,
        )
    if known.videos_owned:
        out.print(
            f"the catalog names them as owner of {known.videos_owned:,} videos, which stays: send those"
            " entries again without ownerId",
            highlight=False,
            soft_wrap=True,
        )
    if known.removed:
        for line in _STAYS:
            out.print(f"[dim]stays: {escape(line)}[/]", highlight=False, soft_wrap=True)
        out.print("removed; ClickHouse deletes the old files within ten minutes", highlight=False)
    elif known.total:
        console.print(f"{known.total:,} rows would be removed; --delete does it", highlight=False)
