"""`vca forget`: shows and removes a person's data."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.operations.progress import Bar, bar, console
from deploy.operations.running import settings
from deploy.terminal import printable, show_error

if TYPE_CHECKING:
    from streams.settings import Settings

#: Maximum number of other ids of the same sessions that are shown.
_SHOWN: Final = 10
_STAYS: Final = (
    "sums by video and time, which identify nobody (`vca rebuild rollups` recomputes them without these"
    " events)",
    "records in Kafka and its dead letters, until the topics' retention deletes them: replay none of them",
    "export files, until EXPORT_HOURS are over, and backups: run this again after you restore one",
)
_REBUILT: Final = (
    "`vca rebuild rollups` is running or was interrupted: wait for it, or run it again (`vca doctor`)"
)
_TAKEN: Final = (
    "`vca rebuild rollups` or another `vca forget --delete` is running, or was killed within the last minute:"
    " wait for it"
)


@dataclass(frozen=True, slots=True)
class Known:
    """The data of the persons: rows by table, and points that an operator should check."""

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
    """The person cannot be forgotten now; nothing was changed."""


def forget(
    user: Annotated[list[str], typer.Argument(help="One or more ids as in the events: userId or viewerId.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the rows. Without it, only show them.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait, even if the person had events in the last two hours.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Remove a person's data from ClickHouse.

    Without --delete the command only shows the data. With it, it removes the
    person's events, and the rows of users, days, sessions, sign-ups and started
    views, from disk, on every shard and replica. Sums stay; `vca verify` takes
    that into account.

    Run it when the person's last events are two hours old. By then Redis has
    dropped their data, and none of their views is in progress (such a view
    would count from its beginning again). Later events, even old ones read
    again from Kafka, make the person known again: run it again then, and also
    if it was interrupted.

    CLICKHOUSE_URL needs a user who may alter tables, such as the one of
    `vca migrate`.
    """
    if not all(user):
        raise typer.BadParameter("an id is empty", param_hint="USER")
    try:
        with bar() as steps:
            known = asyncio.run(run(settings(), user, steps, datetime.now(UTC), delete=delete, anyway=now))
    except ForgetError as error:
        show_error(console, error)
        raise typer.Exit(1) from None
    if as_json:
        Console().print_json(json.dumps(known.to_json()))
    else:
        _show(Console(), known)


async def run(
    chosen: Settings, users: list[str], steps: Bar, now: datetime, *, delete: bool, anyway: bool
) -> Known:
    """Find the data, and remove it if requested; raise `ForgetError` when the removal must wait."""
    from sinks.clickhouse import schema_state
    from sinks.clickhouse.client import READING, database_of
    from sinks.clickhouse.client import connect as connect_clickhouse
    from sinks.clickhouse.forgetting import (
        PERSONAL,
        Forgetting,
        MutationFailedError,
        cluster_of,
        hashes_of,
        is_rebuilt,
    )
    from sinks.clickhouse.migrator import checksums
    from sinks.redis import keys
    from sinks.redis.client import connect as connect_redis
    from sinks.redis.holds import Turn, TurnTaken

    # Parts of many gigabytes are rewritten.
    client = await connect_clickhouse(chosen.clickhouse_url, read_timeout=3600.0, settings=dict(READING))
    redis = connect_redis(chosen.redis_url)
    try:
        steps.say("looking")
        found = await schema_state.ask(client, checksums())
        if reason := found.mismatch:
            # A table unknown to this version may contain data of the persons.
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
        # A rebuild that began now would restore rows that it has already read.
        async with Turn(redis, keys.REBUILD, f"forget {time.time_ns():x}"):
            if await is_rebuilt(client):
                raise ForgetError(_REBUILT)
            if not anyway:
                check_silence(known.last_seen, now)
            steps.total(len(PERSONAL))

            def done(table: str) -> None:
                steps.say(table)
                steps.done(1)

            await forgetting.remove(whole_from(now, chosen.raw_retention_days), done)
            if left := {table: rows for table, rows in (await forgetting.row_counts()).items() if rows}:
                told = ", ".join(f"{rows:,} in {table}" for table, rows in left.items())
                raise ForgetError(f"events arrived meanwhile: {told} are left. Run this again")
        return replace(known, removed=True)
    except TurnTaken as error:
        raise ForgetError(_TAKEN) from error
    except MutationFailedError as error:
        raise ForgetError(str(error)) from error
    finally:
        await client.close()
        await redis.aclose()


def check_silence(last_seen: datetime | None, now: datetime) -> None:
    """Raise `ForgetError` while Redis or workers may still hold data of a person."""
    from sinks.redis.keys import KEPT_SECONDS

    wait = timedelta(seconds=KEPT_SECONDS)
    if last_seen is not None and now - last_seen < wait:
        raise ForgetError(
            f"the person's newest event, or that of one of their sessions, is from"
            f" {last_seen:%Y-%m-%d %H:%M:%S} UTC. Run this after {last_seen + wait:%H:%M}, when Redis has"
            " dropped it; or with --now, followed by `vca rebuild live`"
        )


def whole_from(now: datetime, retention_days: int) -> date:
    """Return the first day whose raw events are complete."""
    return (now - timedelta(days=retention_days)).date() + timedelta(days=1)


def _show(out: Console, known: Known) -> None:
    if not known.total:
        out.print("ClickHouse holds no rows of this person", highlight=False)
    else:
        table = Table("table", "rows removed" if known.removed else "rows", box=None)
        table.columns[1].justify = "right"
        for name, rows in known.rows.items():
            table.add_row(name, f"{rows:,}")
        out.print(table, highlight=False)
    if known.last_seen is not None:
        out.print(f"\nlast seen: {known.last_seen:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    if known.others:
        some = ", ".join(f"{printable(name)} ({n:,})" for name, n in list(known.others.items())[:_SHOWN])
        more = len(known.others) - _SHOWN
        out.print(
            f"their sessions also contain events of {some}{f' and {more} more' if more > 0 else ''}:"
            " the same person before signing in? Then pass these ids as well",
            highlight=False,
            soft_wrap=True,
        )
    if known.videos_owned:
        out.print(
            f"the catalog still names the person as owner of {known.videos_owned:,} videos: send these"
            " catalog entries again without ownerId",
            highlight=False,
            soft_wrap=True,
        )
    if known.removed:
        for line in _STAYS:
            out.print(f"[dim]stays: {printable(line)}[/]", highlight=False, soft_wrap=True)
        out.print("removed; ClickHouse deletes the old files within ten minutes", highlight=False)
    elif known.total:
        console.print(f"{known.total:,} rows would be removed; --delete does it", highlight=False)
