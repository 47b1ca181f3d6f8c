"""The faults: each is a function of a few lines, called at random moments, and done when it returns.

A fault does only what the product promises to survive. What docs/delivery.md does not promise is avoided, and
the reason stands where that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from copy import deepcopy
from typing import Any, Final

from streams.ledger import both_have
from tests.simulation.kafka import Kafka
from tests.simulation.loop import Machine
from tests.simulation.world import World

Fault = Callable[[World], Coroutine[Any, Any, None]]


# Workers


async def kill_worker(world: World) -> None:
    if world.workers:
        world.kill(world.rng.choice(world.workers))


async def kill_all_workers(world: World) -> None:
    for worker in list(world.workers):
        world.kill(worker)


async def pause_worker(world: World) -> None:
    """A worker sleeps, perhaps until others have its partitions, and goes on as if nothing had happened."""
    if world.workers:
        machine = world.rng.choice(world.workers).machine
        machine.pause()
        await asyncio.sleep(world.rng.choice((1, 5, 10, 20, 60)) * world.rng.random())
        machine.resume()


async def stop_worker(world: World) -> None:
    if world.workers:
        world.rng.choice(world.workers).stop()


async def add_worker(world: World) -> None:
    if len(world.workers) < 4:
        world.hire()


async def all_clocks_leap(world: World) -> None:
    """The whole world stood still, for minutes, as when its machine was suspended."""
    world.leapt += world.rng.choice((1, 30, 300, 1800))


async def step_clock(world: World) -> None:
    if world.workers:
        world.rng.choice(world.workers).skew = world.rng.choice((-1800, -60, -1, 0, 1, 60, 1800))


# Requests


async def redis_away(world: World) -> None:
    await _away(world, "redis")


async def clickhouse_away(world: World) -> None:
    await _away(world, "clickhouse")


async def _away(world: World, name: str) -> None:
    server = world.network.servers[name]
    how = world.rng.choice(("is_away", "is_slow", "is_full"))
    setattr(server, how, True)
    await asyncio.sleep(world.rng.choice((0.2, 2, 10, 40)) * world.rng.random())
    setattr(server, how, False)


async def trouble(world: World) -> None:
    """Requests are lost, or arrive late, or their answers are lost."""
    before, world.network.trouble = world.network.trouble, world.rng.choice((0.1, 0.3, 0.6))
    await asyncio.sleep(world.rng.uniform(0.5, 10))
    world.network.trouble = before


async def echoes(world: World) -> None:
    """Requests to Redis arrive a second time, late, though they were answered."""
    world.network.has_echoes = True
    await asyncio.sleep(world.rng.uniform(1, 20))
    world.network.has_echoes = False


async def connections_break(world: World) -> None:
    """Answers are lost, and clients send some requests again without asking anybody."""
    world.network.breaks = world.rng.choice((0.1, 0.3))
    await asyncio.sleep(world.rng.uniform(0.5, 10))
    world.network.breaks = 0.0


async def cut_off_worker(world: World) -> None:
    """A worker reaches everything but one store."""
    if world.workers:
        cut = world.rng.choice(world.workers).machine, world.rng.choice(("redis", "clickhouse", "kafka"))
        world.network.cuts.add(cut)
        await asyncio.sleep(world.rng.choice((2, 10, 40)) * world.rng.random())
        world.network.cuts.discard(cut)


async def slot_moves(world: World) -> None:
    """A Redis Cluster moves a partition to another node, and writes no counters of it meanwhile."""
    where = world.partition(world.rng.choice(world.places))
    world.network.moving.add(where)
    await asyncio.sleep(world.rng.choice((1, 10, 40)) * world.rng.random())
    world.network.moving.discard(where)


# At a step: when a request of one kind is sent, or was carried out and is not answered yet


async def _step(world: World) -> Machine | None:
    """Wait for a step of any worker; return its machine, and None if there is none for long."""
    return await world.network.next_step(world.draw("step"), world.rng.random() < 0.6, 20.0)


async def _later_step(world: World) -> None:
    """Wait for a step that comes soon, or a little later: so much is lost."""
    await asyncio.sleep(world.rng.choice((0, 0, 1, 10)) * world.rng.random())
    await _step(world)


async def kill_at_a_step(world: World) -> None:
    machine = await _step(world)
    for worker in list(world.workers):
        if worker.machine is machine:
            world.kill(worker)


async def kill_all_at_a_step(world: World) -> None:
    if await _step(world):
        await kill_all_workers(world)


async def pause_at_a_step(world: World) -> None:
    if machine := await _step(world):
        machine.pause()
        await asyncio.sleep(world.rng.choice((1, 5, 10, 20, 60)) * world.rng.random())
        machine.resume()


async def request_is_held(world: World) -> None:
    """The next request of some kind arrives seconds late, perhaps once its sender has given up."""
    world.network.holds[world.draw("step")] = world.rng.choice((1, 3, 8)) * world.rng.uniform(0.5, 1)


async def rebalance_at_a_step(world: World) -> None:
    if await _step(world):
        await rebalance(world)


async def redis_loses_a_moment_at_a_step(world: World) -> None:
    await _forget(world, _later_step(world))


async def clickhouse_loses_a_moment_at_a_step(world: World) -> None:
    await _lose_power(world, _later_step(world))


async def log_changes_at_a_step(world: World) -> None:
    if await _step(world):
        await world.rng.choice((log_is_truncated, topic_is_replaced))(world)


# What operators do


async def ask_for_recounts(world: World) -> None:
    for where in world.store.ledgers:
        if world.rng.random() < 0.7:
            world.store.recounts[where] = f"request {world.loop.time():.3f}"


async def hold_inserts(world: World) -> None:
    until = world.now() + world.rng.uniform(0.5, 8)
    world.store.held_until |= dict.fromkeys(world.store.ledgers, until)


# Redis


async def redis_loses_all(world: World) -> None:
    # Not promised: that a topic which was replaced is noticed if nobody has its old id any more.
    if all(map(world.knows_topic, world.places)):
        _set_redis(world, ({}, {}, {}, {}, {}, {}))


async def redis_loses_a_moment(world: World) -> None:
    """A failover, or a file that is a moment old."""
    await _forget(world, asyncio.sleep(world.rng.choice((0.3, 1, 5, 30)) * world.rng.random()))


async def redis_node_loses_a_moment(world: World) -> None:
    """One of several nodes of a Redis Cluster: other partitions, and other bundles, lose nothing."""
    end = asyncio.sleep(world.rng.choice((0.3, 1, 5, 30)) * world.rng.random())
    await _forget(world, end, is_whole=False)


async def redis_loses_a_takeover(world: World) -> None:
    """A failover, by which a worker that slept until others had its partitions is their owner again."""
    if world.workers:
        machine = world.rng.choice(world.workers).machine
        machine.pause()
        await _forget(world, asyncio.sleep(world.rng.uniform(8, 30)))
        machine.resume()


async def _forget(world: World, end: Awaitable[Any], *, is_whole: bool = True) -> None:
    """Set Redis back, once `end` is there, to what it is now; or only some of its nodes."""
    store, since, deleted = world.store, world.loop.time(), len(world.kafka.deleted)
    restores, is_in_doubt = world.restores, bool(world.tokens_in_doubt())
    before = deepcopy(
        (store.ledgers, store.books, dict(store.live), store.bundles, store.recounts, store.rebuilt)
    )
    world.snapshots += 1
    await end
    world.snapshots -= 1
    # What was lost before does not come back: a replica that had it follows the one that was promoted.
    is_lost = any(begin < since < end for begin, end in world.lost_stretches)
    # Not promised, as for a loss of everything: a topic that was replaced since, whose old id is forgotten.
    found = [before[0].get(world.partition(tp)) for tp in world.places]
    knows = len(world.kafka.deleted) == deleted or all(ledger and ledger.topic_ids for ledger in found)
    # Nor that a block counts once which is in doubt again, after ClickHouse lost rows that were replayed.
    is_double = is_in_doubt and world.restores != restores
    if knows and not is_lost and not is_double:
        world.lost_stretches.append((since, world.loop.time()))
        if not is_whole:
            _keep_some(world, before)
        _set_redis(world, before)


def _keep_some(world: World, before: tuple[Any, ...]) -> None:
    """Replace in `before` what is on the nodes that lose nothing."""
    store, rng = world.store, world.rng
    kept = {world.partition(tp) for tp in world.places if rng.random() < 0.5}
    now: tuple[Any, ...] = (
        store.ledgers, store.books, store.live, store.bundles, store.recounts, store.rebuilt
    )  # fmt: skip
    for old, new in zip(before, now, strict=True):
        for key in sorted(old.keys() | new.keys(), key=repr):
            where = key[0] if isinstance(key, tuple) else key
            if where in kept or (isinstance(key, str) and rng.random() < 0.5):
                if key in new:
                    old[key] = new[key]
                else:
                    old.pop(key, None)


def _set_redis(world: World, contents: tuple[Any, ...]) -> None:
    store = world.store
    world.has_lost_redis = True
    # Not promised: an insert that is under way while Redis loses the record that its block was begun, if its
    # sender does not live to see the answer.
    world.settle_inserts(but_awaited=True)
    world.doubt_inserts()
    world.note("redis is set back")
    store.ledgers, store.books, live, store.bundles, store.recounts, store.rebuilt = contents
    store.live.clear()
    store.live.update(live)


# ClickHouse


async def clickhouse_forgets_tokens(world: World) -> None:
    """As many blocks as it remembers were inserted since.

    Not promised for a block that is in doubt for so long, nor if it is again because Redis lost a moment.
    """
    if not world.snapshots:
        flying = {insert.token for insert in world.network.inserts}
        world.store.tokens &= world.tokens_in_doubt() | world.doubtful.keys() | flying


async def replica_lags(world: World) -> None:
    """A replica that is behind answers how far partitions are (`Archive.ends`)."""
    world.network.stale = {name: list(rows) for name, rows in world.store.tables.items()}
    await asyncio.sleep(world.rng.uniform(1, 20))
    world.network.stale = None


async def clickhouse_is_restored(world: World) -> None:
    """From a backup, while no worker runs (docs/runbook.md).

    Not promised: rows whose records Kafka no longer has. So it keeps all records until they are replayed.
    """
    store, held = world.store, world.kept()
    tables, tokens = {name: list(rows) for name, rows in store.tables.items()}, set(store.tokens)
    await asyncio.sleep(world.rng.choice((1, 5, 30)) * world.rng.random())
    if world.kept() != held:
        return
    await kill_all_workers(world)
    for insert in list(world.network.inserts):
        insert.drop()
    _set_clickhouse(world, tables, tokens)


async def clickhouse_loses_a_moment(world: World) -> None:
    """Its machine loses its power, and the file system what was not on the disk yet; the workers live.

    Not promised: rows whose records Kafka no longer has; and that workers notice if the server is back within
    two seconds (`streams.landed`).
    """
    await _lose_power(world, asyncio.sleep(world.rng.choice((0.3, 1, 5, 30)) * world.rng.random()))


async def _lose_power(world: World, end: Awaitable[Any]) -> None:
    """Set ClickHouse back, once `end` is there, to what it is now."""
    store, held, server = world.store, world.kept(), world.network.servers["clickhouse"]
    tables, tokens = {name: list(rows) for name, rows in store.tables.items()}, set(store.tokens)
    await end
    if world.kept() != held or server.is_dark:
        return
    server.life, server.is_dark = server.life + 1, True
    _set_clickhouse(world, tables, tokens)
    await asyncio.sleep(world.rng.choice((2.1, 3, 10)))
    server.life, server.is_dark = server.life + 1, False


def _set_clickhouse(world: World, tables: dict[str, list[Any]], tokens: set[str]) -> None:
    store = world.store
    world.restores += 1
    world.note("clickhouse is set back")
    store.tables.clear()
    store.tables.update(tables)
    store.tokens = tokens
    world.forget_lost_rows()


# Kafka


async def rebalance(world: World) -> None:
    world.group.rebalance()


async def kafka_away(world: World) -> None:
    world.kafka.is_up = False
    await asyncio.sleep(world.rng.choice((0.2, 2, 10)) * world.rng.random())
    world.kafka.is_up = True


def _let_blocks_in_doubt_be(world: World) -> None:
    """Have inserts arrive now or never.

    Not promised: that a block which is in doubt counts once if Kafka loses its records, and its insert
    arrives after others have read the log anew.
    """
    world.settle_inserts()
    world.doubt_inserts()


async def leader_changes(world: World) -> None:
    for log in world.logs():
        log.epoch += 1


async def log_is_truncated(world: World) -> None:
    """An unclean leader election; whatever comes now fills the log again."""
    for tp in world.rng.sample(world.places, 1):
        if tp.topic in world.kafka.topics and world.has_stored(tp):
            log = world.kafka.topics[tp.topic].logs[tp.partition]
            world.expect_stored(tp)
            end = log.end
            _let_blocks_in_doubt_be(world)
            cut = max(log.start, end - world.rng.choice((1, 5, 30, 1_000)))
            lost = log.records[cut - log.start :]
            log.truncate(cut)
            filled = world.rng.random()
            if filled < 0.2:
                # By producers that send again what was lost, perhaps in another order.
                if filled < 0.1:
                    world.rng.shuffle(lost)
                for raw in lost:
                    log.append(raw.key, raw.value, raw.timestamp)
            elif filled < 0.6:
                # Filled again, beyond where it ended, before any worker looks.
                world.producer.fill(log, end + world.rng.choice((0, 1, 20)), int(world.now() * 1000))


async def broker_is_isolated(world: World) -> None:
    """A worker reads from a broker that still has a topic which was deleted, and does not know it."""
    if world.workers and world.kafka.deleted:
        worker = world.rng.choice(world.workers)
        name, topic = world.rng.choice(world.kafka.deleted)
        worker.kafka = Kafka({**world.kafka.topics, name: topic})
        await asyncio.sleep(world.rng.choice((0.3, 3, 15)) * world.rng.random())
        worker.kafka = world.kafka


async def retention_deletes(world: World) -> None:
    """The beginning of a log that both stores have, as workers know."""
    for tp in world.places:
        ledger = world.store.ledgers.get(world.partition(tp))
        if ledger and world.knows_topic(tp) and world.has_stored(tp):
            log = world.kafka.topics[tp.topic].logs[tp.partition]
            world.expect_stored(tp)
            log.delete_before(world.rng.randrange(both_have(ledger) + 1))


async def topic_is_replaced(world: World) -> None:
    """Deleted and created again, and perhaps filled from the producers' outbox."""
    name = world.rng.choice(world.topics)
    places = [tp for tp in world.places if tp.topic == name]
    if all(world.knows_topic(tp) and world.has_stored(tp) for tp in places):
        for tp in places:
            world.expect_stored(tp)
        _let_blocks_in_doubt_be(world)
        world.delete_topic(name)
        await asyncio.sleep(world.rng.choice((0.5, 10)) * world.rng.uniform(0.5, 1))
        if name not in world.kafka.topics:
            world.make_topic(name)
        if world.rng.random() < 0.5:
            world.producer.send_again(int(world.now() * 1000))


#: Every fault, and how often it is chosen.
ALL: Final[dict[Fault, int]] = {
    kill_worker: 6,
    kill_all_workers: 2,
    pause_worker: 6,
    stop_worker: 2,
    add_worker: 2,
    all_clocks_leap: 1,
    step_clock: 2,
    redis_away: 3,
    clickhouse_away: 4,
    trouble: 6,
    echoes: 2,
    connections_break: 2,
    cut_off_worker: 2,
    slot_moves: 1,
    kill_at_a_step: 4,
    kill_all_at_a_step: 1,
    pause_at_a_step: 4,
    request_is_held: 4,
    rebalance_at_a_step: 2,
    redis_loses_a_moment_at_a_step: 2,
    clickhouse_loses_a_moment_at_a_step: 2,
    log_changes_at_a_step: 2,
    ask_for_recounts: 3,
    hold_inserts: 2,
    redis_loses_all: 2,
    redis_loses_a_moment: 3,
    redis_node_loses_a_moment: 2,
    redis_loses_a_takeover: 2,
    clickhouse_forgets_tokens: 3,
    replica_lags: 1,
    clickhouse_is_restored: 2,
    clickhouse_loses_a_moment: 3,
    rebalance: 6,
    kafka_away: 2,
    leader_changes: 2,
    log_is_truncated: 2,
    broker_is_isolated: 2,
    retention_deletes: 2,
    topic_is_replaced: 2,
}
