"""The composition root of the worker: makes a Faust app from settings, and runs it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, cast

import faust
import structlog
from clickhouse_connect.driver.asyncclient import AsyncClient
from faust.types import TP
from redis.asyncio import Redis

from sinks.base import Unavailable
from sinks.clickhouse import schema_state
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.migrator import checksums
from sinks.clickhouse.replicas import CONSISTENT
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.kafka.reasons import note_reasons
from sinks.redis.bundles import RedisBundles
from sinks.redis.client import connect as connect_redis
from sinks.redis.ledger import RedisLedgers
from sinks.redis.sink import RedisLive
from streams import tracing
from streams.assignment import Limits, MakeFolder, Stores
from streams.broker import FaustBroker, available
from streams.bundles import Bundles
from streams.catalog import CatalogFeed
from streams.dead_letter import KafkaDeadLetters
from streams.domain.catalog import CatalogFolder
from streams.domain.event_ids import SystemFolder, UserFolder
from streams.domain.folding import Folder, Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.instruments import expose_build_info
from streams.exit_codes import FAULT, REFUSED
from streams.faust_worker import DisklessApp, EvenAssignor, PromptTables, PromptWorker, run_until_stopped
from streams.gauges import Gauges
from streams.health import Health, Problem, serve
from streams.lanes import Lanes
from streams.logs import configure, faust_level
from streams.pace import Pace
from streams.pipeline import Pipeline
from streams.rejections import Rejections, TooManyRejected
from streams.retry import Retry
from streams.rights import explain_lacking, lacking
from streams.settings import Settings
from streams.topics import MAX_RECORD_BYTES, cluster_id, source_topics
from streams.transport import batch_transport
from streams.watchdog import Watchdog

log = structlog.get_logger(__name__)

#: Batches that wait in a stream: each has up to `fetch_bytes` of records, and more would only fill memory.
_BATCHES_BUFFERED: Final = 4
#: How often a worker checks for requested recounts of live windows.
_RECOUNT_SECONDS: Final = 1.0
#: How often it compares its ledgers with Redis, and its logs with Kafka; after two mismatches a log is taken
#: for another one.
_COMPARE_SECONDS: Final = 2.0
#: How often it compares the ends of its rows with ClickHouse.
_COMPARE_ROWS_SECONDS: Final = 10.0


def end_process(error: BaseException) -> None:
    """End the process at once: its memory cannot be trusted, and the ledger has what is durable."""
    if isinstance(error, TooManyRejected):
        log.critical(
            "too many dead letters: the worker stops before it sends them; find the cause, then restart it",
            topic=error.topic,
            rejected=error.rejected,
            of_the_last=error.window,
            limit=error.share,
            reasons=error.reasons,
            samples=error.samples,
            to_go_on=(
                "fix or stop the producer, or upgrade the worker; or start it with DEAD_LETTER_SHARE=0 (or a"
                " larger share) to accept the records as dead letters, which `vca replay dead-letters` can"
                " send again later"
            ),
        )
        os._exit(REFUSED)
    log.critical("the worker ends and must be restarted", error=repr(error), exc_info=error)
    os._exit(FAULT)


def make_folders(settings: Settings, feed: CatalogFeed) -> Mapping[str, MakeFolder]:
    """Return a factory of folders for each topic."""

    def memory(floor: int) -> Generations[Any]:
        share = settings.memory_keys // (2 * 2 * settings.topic_partitions)
        return Generations(floor=floor, capacity=max(share, 1000), lifetime=settings.memory_seconds)

    def playback(place: Place, floor: int) -> Folder:
        return PlaybackFolder(place, memory(floor), feed.length_ms)

    def users(place: Place, floor: int) -> Folder:
        return UserFolder(place, memory(floor))

    def systems(place: Place, floor: int) -> Folder:
        return SystemFolder(place, memory(floor))

    def catalog(place: Place, _floor: int) -> Folder:
        return CatalogFolder(place, feed.update)

    return {
        settings.topic_playback: playback,
        settings.topic_users: users,
        settings.topic_systems: systems,
        settings.topic_catalog: catalog,
    }


def _credentials(settings: Settings) -> Any:
    """Return the brokers' credentials as Faust wants them; None for brokers without authentication."""
    access = settings.brokers()
    context = access.get("ssl_context")
    if "sasl_mechanism" in access:
        return faust.SASLCredentials(
            username=access["sasl_plain_username"],
            password=access["sasl_plain_password"],
            mechanism=access["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def create_app(settings: Settings, redis: Redis, clickhouse: AsyncClient, health: Health) -> faust.App:
    """Wire up the worker; nothing connects before it starts. `health` is told whether the app is ready."""
    app = DisklessApp(
        settings.consumer_group,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        value_serializer="raw",
        key_serializer="raw",
        web_enabled=False,
        TableManager=PromptTables,
        PartitionAssignor=EvenAssignor,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=settings.fetch_bytes,
        # How soon a re-created topic, or one with more partitions, is noticed.
        consumer_metadata_max_age_ms=10_000,
        broker_session_timeout=settings.session_timeout,
        broker_rebalance_timeout=settings.rebalance_timeout,
        broker_heartbeat_interval=settings.session_timeout / 4,
        # A worker that waits for a store does not poll, and is alive nevertheless; the watchdog decides.
        broker_max_poll_interval=7 * 86_400.0,
        broker_commit_interval=2.0,
        broker_check_crcs=False,
        producer_max_request_size=MAX_RECORD_BYTES + 65_536,
        stream_buffer_maxsize=_BATCHES_BUFFERED,
        stream_wait_empty=False,
        stream_publish_on_commit=False,
    )
    broker = FaustBroker(app, settings)
    archive = ClickHouseArchive(clickhouse, settings.clickhouse_cluster)
    feed = CatalogFeed(archive)
    blocks, ledgers = ClickHouseBlocks(clickhouse, settings.clickhouse_cluster), RedisLedgers(redis)
    pace = Pace(settings.inserts_per_second, settings.block_seconds, buffer_bytes=settings.buffer_bytes)
    pipeline = Pipeline(
        broker,
        Stores(
            live=RedisLive(redis),
            blocks=blocks,
            ledgers=ledgers,
            bundles=Bundles(RedisBundles(redis), ledgers, blocks, archive),
            archive=archive,
            dead_letters=KafkaDeadLetters(broker.dead_letter),
        ),
        make_folders(settings, feed),
        Limits(
            settings.block_rows,
            settings.raw_retention_days * 86_400_000,
            Rejections(settings.dead_letter_share, settings.dead_letter_window),
        ),
        pace,
        clock=time.time,
        on_failure=end_process,
    )
    app.transport = batch_transport(pipeline)(app.conf.broker_consumer, app)

    async def give_up(_app: Any, revoked: set[TP], **_: Any) -> None:
        await pipeline.give_up(revoked)

    async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    app.task(feed.run)
    app.task(Gauges(app, pipeline, time.time).run)
    app.task(partial(every, _RECOUNT_SECONDS, pipeline.recount))
    app.task(partial(every, _COMPARE_SECONDS, pipeline.compare_logs))
    app.task(partial(every, _COMPARE_SECONDS, pipeline.compare_ledgers))
    app.task(partial(every, _COMPARE_ROWS_SECONDS, pipeline.compare_rows))
    app.task(Watchdog(app, pipeline, settings.stall_seconds, end_process).run)
    cast(Any, app.on_partitions_revoked).connect(give_up)
    health.watch(partial(_readiness_problem, app, pipeline))

    for name in source_topics(settings):
        _add_agent(app, pipeline, name)
    return app


def _readiness_problem(app: faust.App, pipeline: Pipeline) -> Problem:
    """Return what keeps the worker from processing events; None when nothing does."""
    if not app.rebalancing_count:
        return "the worker has not joined its consumer group yet"
    if app.rebalancing:
        return "partitions are moving between workers"
    waiting = sorted(app.consumer.assignment() - pipeline.positions().keys())
    if not waiting:
        return None
    first = f"{waiting[0].topic}/{waiting[0].partition}"
    return f"{len(waiting)} partitions wait for a store or for their ledger, {first} among them"


def _add_agent(app: faust.App, pipeline: Pipeline, topic: str) -> None:
    async def take(batches: faust.StreamT[Any]) -> None:
        async with Lanes(pipeline.process) as lanes:
            async for event in batches.events():
                await lanes.submit(event.message.tp, event.value)

    app.agent(app.topic(topic, value_type=bytes, key_type=bytes), name=f"batches of {topic}")(take)


async def _connect(settings: Settings, health: Health) -> AsyncClient:
    """Wait for Kafka, ClickHouse and the tables of `vca migrate`; return a ClickHouse client.

    After a power cut they may be up later than the worker, and during an upgrade the worker may start before
    the migration. Raises `MigrationError` for a database that cannot be upgraded.
    """
    retry = Retry(part="start")
    missing = ""
    options = CONSISTENT if settings.clickhouse_cluster else None

    async def kafka() -> None:
        with available():
            await cluster_id(settings)

    async def rights() -> None:
        nonlocal missing
        with available():
            lacks = await lacking(settings)
        missing = ""
        if lacks:
            told = explain_lacking(settings.kafka_sasl_username, lacks)
            missing = f"Kafka: {told} (docs/security.md: Rights in Kafka)"
            raise Unavailable(missing, "kafka")

    async def tables() -> None:
        nonlocal missing
        found = await schema_state.ask(clickhouse, checksums())
        found.check()
        missing = found.lacks
        if missing:
            raise Unavailable(f"ClickHouse: {missing}", "clickhouse")

    health.watch(lambda: missing or "the worker is starting")
    await retry.forever(kafka, "reach Kafka")
    await retry.forever(rights, "wait for the rights in Kafka")
    clickhouse = await retry.forever(
        lambda: connect_clickhouse(settings.clickhouse_url, settings=options), "reach ClickHouse"
    )
    await retry.forever(tables, "wait for the tables")
    return clickhouse


def run_worker(settings: Settings) -> int:
    """Run a worker until it is stopped; return its exit status."""
    configure(settings.log_level)
    note_reasons()
    health = Health()
    expose_build_info()
    send_last_traces = tracing.configure()
    if settings.worker_metrics_port:
        serve(health, settings.worker_metrics_host, settings.worker_metrics_port)
    # Records live and die with their batch; with Python's default threshold of 700 objects, the garbage
    # collector takes a tenth of the worker's time.
    gc.set_threshold(200_000, 20, 100)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    redis = connect_redis(settings.redis_url)
    health.attach(loop)
    connecting = loop.create_task(_connect(settings, health))
    # Process 1 of a container ignores signals without a handler; Faust installs its own only later.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, connecting.cancel)
    try:
        clickhouse = loop.run_until_complete(connecting)
    except asyncio.CancelledError:
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    worker: Any = PromptWorker(
        create_app(settings, redis, clickhouse, health),
        loop=loop,
        loglevel=faust_level(settings.log_level),
        redirect_stdouts=False,
    )
    try:
        return run_until_stopped(worker)
    finally:
        send_last_traces()
