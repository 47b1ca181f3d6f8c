"""`vca rebuild`: rebuilds roll-ups and live counters from raw events, while the pipeline runs."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import typer

from deploy.operations.progress import Bar, bar, console
from deploy.operations.running import settings
from deploy.terminal import show_error
from sinks.kafka.reasons import quieten

if TYPE_CHECKING:
    from streams.settings import Settings

rebuild = typer.Typer(
    no_args_is_help=True,
    help=(
        "Recompute roll-ups or live counters from raw events while the pipeline runs.\n\n"
        "`vca verify` says whether that is needed. Both are exact, and readers see no wrong number meanwhile."
    ),
)
_POLL_SECONDS: Final = 0.3


@rebuild.command()
def rollups() -> None:
    """Rebuild every roll-up in ClickHouse from the raw events.

    It builds new months beside the old ones, in the database NAME_rebuild, and
    then replaces the old ones. For that moment (about a second) workers hold
    their inserts; live counters and the API continue, and no event is lost.

    Months whose raw events are no longer complete (by RAW_RETENTION_DAYS, and
    by what the raw tables have) are not changed. It needs disk space for a
    second copy of the roll-ups, a running worker, and in CLICKHOUSE_URL a user
    who may create databases, such as the one of `vca migrate`. If it is
    interrupted, each table is either unchanged or completely new: run it again.
    """
    quieten()
    from deploy.operations.rebuilding import RebuildError
    from sinks.redis.holds import HeldByAnother

    try:
        with bar() as steps:
            since, held = asyncio.run(_rollups(settings(), steps))
    except (RebuildError, HeldByAnother) as error:
        show_error(console, error)
        raise typer.Exit(1) from None
    reach = (
        f"from {since:%Y-%m} on; older months lack raw events and are unchanged" if since else "all of them"
    )
    console.print(f"rebuilt roll-ups: {reach}. Inserts were held for {held:.1f} s.", highlight=False)


async def _rollups(chosen: Settings, steps: Bar) -> tuple[datetime | None, float]:
    from deploy.operations.rebuilding import Rebuild, RebuildError, whole_months
    from sinks.clickhouse import schema_state
    from sinks.clickhouse.client import connect as connect_clickhouse
    from sinks.clickhouse.client import database_of
    from sinks.clickhouse.kept import first_instant, gaps
    from sinks.clickhouse.migrator import checksums
    from sinks.clickhouse.shadow import Shadow
    from sinks.redis.client import connect as connect_redis
    from streams.topics import cluster_id

    cluster = await cluster_id(chosen)
    database = database_of(chosen.clickhouse_url)
    redis = connect_redis(chosen.redis_url)
    # Rolling up a month of raw events may take long.
    clickhouse = await connect_clickhouse(chosen.clickhouse_url, read_timeout=3600.0)
    try:
        found = await schema_state.ask(clickhouse, checksums())
        if reason := found.mismatch:
            # A table unknown to this version may or may not be built from raw events.
            raise RebuildError(reason)
        first, missing = await first_instant(clickhouse), await gaps(clickhouse)
        since = whole_months(first, chosen.raw_retention_days, datetime.now(UTC), missing)
        return since, await Rebuild(redis, Shadow(clickhouse, database), cluster, steps).run(since)
    finally:
        await clickhouse.close()
        await redis.aclose()


@rebuild.command()
def live(
    patience: float = typer.Option(
        60.0, min=1, help="Seconds without progress after which the command stops waiting for workers."
    ),
) -> None:
    """Rebuild the live counters in Redis from the raw events of the last two hours.

    The worker that owns a partition does this: it writes its buffered rows,
    recounts the window beside the one that readers use, and switches over in
    one step. The partition pauses meanwhile, some seconds for a million events.

    The recount includes concurrent viewers.
    """
    quieten()
    with bar() as steps:
        left = asyncio.run(_live(settings(), steps, patience))
    if left:
        show_error(
            console,
            f"{len(left)} partitions, {left[0]} among them, have no worker yet; one recounts them when it"
            " starts (`vca worker`)",
        )
        raise typer.Exit(1)
    console.print("rebuilt the live counters", highlight=False)


async def _live(chosen: Settings, steps: Bar, patience: float) -> list[str]:
    """Request the recount and wait; return the partitions that no worker has recounted."""
    from sinks.redis.client import connect as connect_redis
    from sinks.redis.ledger import RedisLedgers, read_ledgers, request_recount
    from streams.topics import cluster_id

    cluster = await cluster_id(chosen)
    redis = connect_redis(chosen.redis_url)
    try:
        counted = {chosen.topic_playback, chosen.topic_users}
        wanted = [
            where
            for where in await read_ledgers(redis)
            if where.cluster == cluster and where.topic in counted
        ]
        await request_recount(redis, wanted, f"{time.time_ns():x}")
        steps.total(len(wanted))
        steps.say("recounting partitions")
        ledgers, moved = RedisLedgers(redis), time.monotonic()
        waiting = set(wanted)
        while waiting and time.monotonic() - moved < patience:
            await asyncio.sleep(_POLL_SECONDS)
            left = set(await ledgers.requested_recounts(sorted(waiting, key=str)))
            if left != waiting:
                steps.done(len(waiting - left))
                waiting, moved = left, time.monotonic()
        return sorted(map(str, waiting))
    finally:
        await redis.aclose()
