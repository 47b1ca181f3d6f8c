"""The fault matrix: each fault is a function of a few lines that returns when the fault's cause is gone."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
import time
from collections.abc import Callable
from threading import Timer
from typing import Any, Final
from urllib.request import urlopen

import psutil
import redis
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from deploy.embedded.ports import free_port
from streams.exit_codes import FAULT
from streams.topics import create_topics
from tests.faults.harness import SESSION_SECONDS, Episode, Fault
from tests.faults.proxy import Trap, Trick
from tests.faults.traffic import Mix
from tests.oracle.log import PLAYBACK, SYSTEM, USERS

#: Goal for the recovery after a worker's death, in seconds.
DEATH: Final = SESSION_SECONDS + 3.0
#: Seconds after which Faust would go on without partitions whose takeover is not done: 90.
_LONGER_THAN_FAUST: Final = 100.0
_INSERT: Final = b"insert_deduplication_token"
#: Texts in the requests that begin, commit and insert a bundle (blocks of several partitions together).
_BEGIN_TOGETHER: Final = b"\r\nbundle:"
_COMMIT: Final = b"vc:bundle:"
_INSERT_TOGETHER: Final = b"insert_deduplication_token=bundle"
_SOURCES: Final = (PLAYBACK, USERS, SYSTEM)


async def _sprung(trap: Trap, longest: float = 20.0) -> None:
    """Wait until a trap is sprung."""
    deadline = time.monotonic() + longest
    while not trap.sprung.is_set():
        assert time.monotonic() < deadline, f"no request with {trap.text!r} came by"
        await asyncio.sleep(0.01)


# --- a worker ---------------------------------------------------------------------------------


async def kill_worker(episode: Episode) -> None:
    """A worker gets `kill -9` and is started again at once."""
    episode.crew.send(episode.any_worker(), signal.SIGKILL)


async def end_worker(episode: Episode) -> None:
    """A worker gets SIGTERM and is started again when it has ended."""
    episode.crew.send(episode.any_worker(), signal.SIGTERM)


async def freeze_worker(episode: Episode) -> None:
    """A worker gets SIGSTOP until another has taken over, then SIGCONT: a zombie that must be fenced."""
    zombie = episode.any_worker()
    episode.crew.send(zombie, signal.SIGSTOP)
    await asyncio.sleep(SESSION_SECONDS + episode.rng.uniform(0.5, 2.5))
    episode.crew.send(zombie, signal.SIGCONT)


async def raise_in_agent(episode: Episode) -> None:
    """An exception is raised in the agent, in the middle of a batch."""
    episode.crew.send(episode.any_worker(), signal.SIGRTMIN)


async def starve_worker(episode: Episode) -> None:
    """A record of 10 MB arrives at a worker that cannot allocate memory for it, at whichever point."""
    number = episode.any_worker()
    process = psutil.Process(episode.crew.pid(number))
    limit = process.memory_info().vms // 2
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    episode.traffic.mix.huge_bytes = 10_000_000
    deadline = time.monotonic() + 4.0
    while episode.crew.pid(number) == process.pid and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    if episode.crew.pid(number) == process.pid:
        everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_AS, everything)


# --- several workers --------------------------------------------------------------------------


async def join_or_leave(episode: Episode) -> None:
    """A worker joins, leaves in order, or dies, while there are one to three workers."""
    crew = episode.crew
    kinds = ["die", "come"] if len(crew.numbers) == 1 else ["die", "go"]
    if len(crew.numbers) == 2:
        kinds.append("come")
    kind = episode.rng.choice(kinds)
    if kind == "die":
        crew.send(episode.any_worker(), signal.SIGKILL)
    elif kind == "come":
        crew.hire()
    else:
        await crew.dismiss(episode.any_worker())


async def rebalance_during_insert(episode: Episode) -> None:
    """Partitions move during an insert, which may arrive after the partition's next owner has repeated it."""
    late = episode.rng.uniform(0.5, SESSION_SECONDS + 3)
    trap = episode.servers.clickhouse_proxy.set(_INSERT, Trick.LATE, late=late)
    await _sprung(trap)
    began = time.monotonic()
    if len(episode.crew.numbers) < 3:
        episode.crew.hire()
    else:
        await episode.crew.dismiss(episode.any_worker())
    await asyncio.sleep(max(0.0, began + late - time.monotonic()))


async def take_over_without_clickhouse(episode: Episode) -> None:
    """A worker leaves for good while ClickHouse hangs, for longer than Faust waits for a takeover."""
    crew, clickhouse = episode.crew, episode.servers.clickhouse
    if len(crew.numbers) < 2:
        crew.hire()
        await asyncio.sleep(SESSION_SECONDS + 3)
    clickhouse.send(signal.SIGSTOP)
    leaving = asyncio.create_task(crew.dismiss(episode.any_worker()))
    await asyncio.sleep(_LONGER_THAN_FAUST)
    clickhouse.send(signal.SIGCONT)
    await leaving


async def _fewer_workers_than_partitions(episode: Episode) -> None:
    """Dismiss workers if necessary: a worker that has one partition of a topic makes no bundles."""
    while len(episode.crew.numbers) >= episode.fault.partitions:
        await episode.crew.dismiss(episode.any_worker())


async def kill_workers_with_a_bundle(episode: Episode) -> None:
    """All workers die while one begins, commits or inserts a bundle; its next owners settle it."""
    await _fewer_workers_than_partitions(episode)
    servers, crew, rng = episode.servers, episode.crew, episode.rng
    proxy, text = rng.choice(
        (
            (servers.redis_proxy, _BEGIN_TOGETHER),
            (servers.redis_proxy, _COMMIT),
            (servers.clickhouse_proxy, _INSERT_TOGETHER),
        )
    )
    numbers = list(crew.numbers)

    def then() -> None:
        for number in numbers:
            crew.send(number, signal.SIGKILL)

    await _sprung(proxy.set(text, rng.choice((Trick.CUT, Trick.LOSE_ANSWER, Trick.ABANDON)), then))


async def freeze_worker_with_a_bundle(episode: Episode) -> None:
    """A worker is frozen between the steps of a bundle, until others have settled the bundle and go on."""
    await _fewer_workers_than_partitions(episode)
    servers, crew, rng = episode.servers, episode.crew, episode.rng
    proxy, text = rng.choice(((servers.redis_proxy, _COMMIT), (servers.clickhouse_proxy, _INSERT_TOGETHER)))
    # The frozen worker's request arrives at once, or only after others have settled the bundle.
    late = rng.choice((0.0, SESSION_SECONDS + rng.uniform(1.0, 4.0)))
    zombie = episode.any_worker()
    trap = proxy.set(
        text, Trick.LATE if late else Trick.ABANDON, lambda: crew.send(zombie, signal.SIGSTOP), late=late
    )
    await _sprung(trap)
    await asyncio.sleep(SESSION_SECONDS + rng.uniform(0.5, 2.5))
    crew.send(zombie, signal.SIGCONT)


# --- ClickHouse -------------------------------------------------------------------------------


async def refuse_clickhouse(episode: Episode) -> None:
    """ClickHouse's connections are closed, and new ones refused for a while."""
    episode.servers.clickhouse_proxy.refuse()
    await episode.moment(3.0)
    episode.servers.clickhouse_proxy.accept()


async def kill_clickhouse_in_insert(episode: Episode) -> None:
    """ClickHouse gets `kill -9` before, during or just after an insert, and never answers the insert."""
    machine, rng = episode.servers.clickhouse, episode.rng
    trick = rng.choice((Trick.CUT, Trick.ABANDON, Trick.LOSE_ANSWER))
    pause = rng.uniform(0.0, 0.03) if trick is Trick.ABANDON else 0.0

    def then() -> None:
        if pause:
            Timer(pause, machine.kill_soon).start()
        else:
            machine.kill_soon()

    await _sprung(episode.servers.clickhouse_proxy.set(_INSERT, trick, then))
    await asyncio.sleep(0.1)
    machine.kill()
    await machine.start()


async def lose_insert(episode: Episode) -> None:
    """An insert's connection is cut: the insert arrives in part, or is carried out but never answered."""
    trick = episode.rng.choice((Trick.ABANDON, Trick.LOSE_ANSWER, Trick.CUT))
    await _sprung(episode.servers.clickhouse_proxy.set(_INSERT, trick))


def _setting(name: str, value: int) -> tuple[str, str]:
    return f"MODIFY SETTING {name} = {value}", f"RESET SETTING {name}"


async def _refuse_inserts(episode: Episode, settings: list[tuple[str, str]]) -> None:
    """Make one table refuse inserts for a while, so that a block reaches some tables and not others."""
    table = episode.rng.choice(
        ("playback_events", "video_15m", "view_starts", "ingested_offsets", "users", "system_1m", "user_days")
    )
    for change, _ in settings:
        await episode.sql(f"ALTER TABLE {table} {change}")
    await asyncio.sleep(episode.rng.uniform(0.5, 2.0))
    for _, back in settings:
        await episode.sql(f"ALTER TABLE {table} {back}")


async def too_many_parts(episode: Episode) -> None:
    """A table has so many parts that it refuses inserts."""
    await _refuse_inserts(episode, [_setting("parts_to_throw_insert", 1)])


async def disk_full(episode: Episode) -> None:
    """A table's disk counts as full: the table demands more free space than any disk has."""
    await _refuse_inserts(episode, [_setting("min_free_disk_bytes_to_perform_insert", 1 << 60)])


async def slow_clickhouse(episode: Episode) -> None:
    """ClickHouse's answers are delayed, or the whole server is frozen for a while."""
    if episode.rng.random() < 0.5:
        episode.servers.clickhouse.send(signal.SIGSTOP)
        await asyncio.sleep(episode.rng.uniform(0.5, 3.0))
        episode.servers.clickhouse.send(signal.SIGCONT)
        return
    episode.servers.clickhouse_proxy.delay = episode.rng.uniform(0.2, 1.0)
    await asyncio.sleep(2.0)
    episode.servers.clickhouse_proxy.delay = 0.0


# --- Redis ------------------------------------------------------------------------------------


async def restart_redis(episode: Episode) -> None:
    """Redis gets `kill -9` and is started again with its append-only file."""
    episode.servers.redis.kill()
    await episode.moment(0.5)
    await episode.servers.redis.start()


async def empty_redis(episode: Episode) -> None:
    """Redis gets `kill -9` and is started again empty."""
    episode.servers.redis.kill()
    shutil.rmtree(episode.servers.redis_data)
    episode.servers.redis_data.mkdir()
    await episode.servers.redis.start()


async def older_redis(episode: Episode) -> None:
    """Redis is restored from a copy of its file that is some seconds old."""
    data = episode.servers.redis_data
    copy = data.with_name("redis-copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    await asyncio.sleep(episode.rng.uniform(0.3, 3.0))
    episode.servers.redis.kill()
    shutil.rmtree(data)
    copy.rename(data)
    await episode.servers.redis.start()


async def redis_from_before_a_takeover(episode: Episode) -> None:
    """Redis is restored from a copy of its file made before partitions changed owner."""
    data = episode.servers.redis_data
    copy = data.with_name("redis-copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    await kill_worker(episode)
    await asyncio.sleep(SESSION_SECONDS + episode.rng.uniform(1.0, 3.0))
    episode.servers.redis.kill()
    shutil.rmtree(data)
    copy.rename(data)
    await episode.servers.redis.start()


async def redis_dies_before_its_answer(episode: Episode) -> None:
    """Redis runs a script and dies before it answers."""
    trap = episode.servers.redis_proxy.set(b"EVALSHA", Trick.LOSE_ANSWER, episode.servers.redis.kill_soon)
    await _sprung(trap)
    episode.servers.redis.kill()
    await episode.servers.redis.start()


async def lose_redis_answer(episode: Episode) -> None:
    """A script's connection is cut: the script arrives in part, or runs but its answer is lost."""
    trick = episode.rng.choice((Trick.LOSE_ANSWER, Trick.ABANDON, Trick.CUT))
    await _sprung(episode.servers.redis_proxy.set(b"EVALSHA", trick))


async def slow_redis(episode: Episode) -> None:
    """Redis' answers are delayed, sometimes beyond the client's timeout."""
    if episode.rng.random() < 0.3:
        episode.servers.redis.send(signal.SIGSTOP)
        await asyncio.sleep(episode.rng.uniform(1.0, 7.0))
        episode.servers.redis.send(signal.SIGCONT)
        return
    episode.servers.redis_proxy.delay = episode.rng.uniform(0.05, 0.4)
    await asyncio.sleep(2.0)
    episode.servers.redis_proxy.delay = 0.0


async def refuse_redis_writes(episode: Episode) -> None:
    """Redis answers reads but refuses writes: too few replicas, or no memory left. No worker may end."""
    setting, value = episode.rng.choice((("min-replicas-to-write", "1"), ("maxmemory", "1")))
    before = len(episode.crew.endings)
    with redis.Redis.from_url(episode.servers.redis.server.address) as client:
        client.config_set(setting, value)
        await asyncio.sleep(episode.rng.uniform(1.0, 4.0))
        client.config_set(setting, "0")
    assert FAULT not in episode.crew.endings[before:], "a worker ended"


async def fail_redis_over(episode: Episode) -> None:
    """The primary dies; the replica that takes its place lacks about the last second."""
    servers = episode.servers
    data = servers.folder / f"redis-{free_port()}"
    replica = servers.new_redis(data)
    await replica.start()
    with redis.Redis.from_url(replica.server.address, decode_responses=True) as client:
        client.replicaof("127.0.0.1", str(servers.redis.port))
        deadline = time.monotonic() + 20
        while client.info("replication").get("master_link_status") != "up":
            assert time.monotonic() < deadline, "the replica did not catch up"
            await asyncio.sleep(0.05)
        await episode.moment(0.5)
        client.replicaof("NO", "ONE")
    await asyncio.sleep(episode.rng.uniform(0.3, 1.0))
    servers.redis.kill()
    shutil.rmtree(servers.redis_data)
    servers.redis, servers.redis_data = replica, data
    servers.redis_proxy.target = replica.port
    servers.redis_proxy.cut()


# --- the broker -------------------------------------------------------------------------------


async def kill_broker(episode: Episode) -> None:
    """A broker gets `kill -9` and is started again with its log."""
    node = episode.rng.choice(episode.servers.nodes)
    node.kill()
    await episode.moment(1.0)
    await node.start()


async def lose_broker(episode: Episode) -> None:
    """One of three brokers is down for longer than the others wait for it."""
    node = episode.rng.choice(episode.servers.nodes)
    node.kill()
    await asyncio.sleep(episode.rng.uniform(3.0, 6.0))
    await node.start()


async def change_leaders(episode: Episode) -> None:
    """One of three brokers is shut down in order: its partitions get other leaders."""
    node = episode.rng.choice(episode.servers.nodes)
    node.send(signal.SIGTERM)
    await asyncio.sleep(episode.rng.uniform(1.0, 2.0))
    node.kill()
    await node.start()


async def _partitions(episode: Episode) -> dict[tuple[str, int], dict[str, Any]]:
    """Return leader, replicas and those in sync, by topic and partition; asks until a broker answers."""
    names = [episode.topic(name) for name in _SOURCES]
    deadline = time.monotonic() + 60
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=episode.servers.bootstrap)
        try:
            await admin.start()
            found = await admin.describe_topics(names)
            return {(t["topic"], p["partition"]): p for t in found for p in t["partitions"]}
        except KafkaError:
            assert time.monotonic() < deadline, "no broker describes the topics"
            await asyncio.sleep(0.1)
        finally:
            await admin.close()


async def _until_brokers(episode: Episode, ready: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until all partitions of the source topics are as wanted."""
    deadline = time.monotonic() + 60
    while not all(map(ready, (await _partitions(episode)).values())):
        assert time.monotonic() < deadline, "the partitions are not as wanted"
        await asyncio.sleep(0.1)


async def elect_uncleanly(episode: Episode) -> None:
    """A stale replica becomes leader: acknowledged records are gone, and others get their offsets.

    Meanwhile the worker runs, or is down or frozen until the logs are longer than it had read.
    """
    unclean = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    admin = AIOKafkaAdminClient(bootstrap_servers=episode.servers.bootstrap)
    await admin.start()
    topics = [ConfigResource(ConfigResourceType.TOPIC, episode.topic(name), unclean) for name in _SOURCES]
    await admin.alter_configs(topics)
    await admin.close()
    await _until_brokers(episode, lambda one: len(one["isr"]) == 2)

    partitions = await _partitions(episode)
    stale, leader = partitions[episode.topic(PLAYBACK), 0]["replicas"]
    nodes, crew = episode.servers.nodes, episode.crew
    await episode.acknowledged()
    before = dict(episode.ends)
    nodes[stale - 1].kill()
    await _until_brokers(episode, lambda one: stale not in one["isr"])
    await asyncio.sleep(3.0)
    await _all_read(episode)
    read_to = dict(episode.ends)
    truncated = {
        where
        for where, one in partitions.items()
        if set(one["replicas"]) == {stale, leader} and read_to.get(where, 0) > before.get(where, 0)
    }
    worker, timing = episode.any_worker(), episode.rng.choice(("running", "frozen", "down"))
    if timing == "frozen":
        crew.send(worker, signal.SIGSTOP)
    elif timing == "down":
        crew.rest()
    nodes[leader - 1].kill()
    nodes[stale - 1].launch()
    await _until_brokers(episode, lambda one: one["leader"] not in (-1, leader))
    for where in truncated:
        del episode.ends[where]
    episode.incarnations.update(truncated)
    await episode.reconnect()
    episode.go_on()
    episode.rate = 10 * episode.fault.rate
    deadline = time.monotonic() + 60
    while any(episode.ends.get(where, 0) <= read_to[where] for where in truncated):
        assert time.monotonic() < deadline, "the logs were not filled again"
        await asyncio.sleep(0.01)
    episode.rate = episode.fault.rate
    crew.send(worker, signal.SIGCONT)
    crew.resume()
    nodes[leader - 1].launch()
    await _until_brokers(episode, lambda one: len(one["isr"]) == 2)


async def _all_read(episode: Episode) -> None:
    """Pause the producer and wait until workers have read all: a deleted topic takes unread records along."""
    episode.pause()
    await asyncio.sleep(0.1)
    await episode.acknowledged()
    await episode.recovered(dict(episode.ends), 30.0)


async def _remake(episode: Episode, name: str, pause: float) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=episode.servers.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name])
        while name in await admin.list_topics():
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    await episode.moment(pause)
    await create_topics(episode.settings)
    for where in [where for where in episode.ends if where[0] == name]:
        del episode.ends[where]
    episode.incarnations.update((name, number) for number in range(episode.fault.partitions))
    await episode.reconnect()
    episode.go_on()


async def remake_topic(episode: Episode) -> None:
    """A topic is deleted and created again, and continues with other records."""
    await _all_read(episode)
    await _remake(episode, episode.topic(episode.rng.choice(_SOURCES)), 1.0)


async def exchange_topic(episode: Episode) -> None:
    """A topic is recreated, and has grown past the worker's old offsets before the worker next looks."""
    name = episode.topic(episode.rng.choice(_SOURCES))
    await _all_read(episode)
    read_to = {where: end for where, end in episode.ends.items() if where[0] == name}
    worker = episode.any_worker()
    episode.crew.send(worker, signal.SIGSTOP)
    await _remake(episode, name, 0.0)
    episode.rate = 20 * episode.fault.rate
    # Each time the topic must take more records than the last time.
    deadline = time.monotonic() + 120
    while any(episode.ends.get(where, 0) <= end for where, end in read_to.items()):
        assert time.monotonic() < deadline, f"{name} was not filled again"
        await asyncio.sleep(0.01)
    episode.rate = episode.fault.rate
    episode.crew.send(worker, signal.SIGCONT)


async def remake_topic_and_empty_redis(episode: Episode) -> None:
    """A topic is recreated; later Redis loses everything, and with it the fact that the topic is new."""
    await remake_topic(episode)
    await episode.moment(4.0)
    await empty_redis(episode)


def _lost_by_metric(port: int) -> int:
    """Return the number of lost records in a worker's metrics; 0 while the metrics cannot be read."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    name = "videocloud_lost_records_total{"
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith(name)))


async def truncate_log(episode: Episode) -> None:
    """The workers are down for longer than the topics keep their records."""
    await _all_read(episode)
    episode.crew.rest()
    read_to = dict(episode.ends)
    episode.go_on()
    await asyncio.sleep(episode.rng.uniform(0.5, 1.5))
    episode.pause()
    await asyncio.sleep(0.1)
    await episode.acknowledged()
    starts = {
        where: episode.rng.randint(read_to.get(where, 0), end)
        for where, end in episode.ends.items()
        if episode.rng.random() < 0.7
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=episode.servers.bootstrap)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(*where): RecordsToDelete(before_offset=start) for where, start in starts.items()}
        )
    finally:
        await admin.close()
    gone = {
        (topic, number, offset)
        for (topic, number), start in starts.items()
        for offset in range(read_to.get((topic, number), 0), start)
    }
    episode.gone |= gone
    episode.crew.resume()
    episode.go_on()
    deadline = time.monotonic() + 60
    while (told := await asyncio.to_thread(_lost_by_metric, episode.metrics_port)) != len(gone):
        assert time.monotonic() < deadline, f"{len(gone)} records are lost, the metric tells {told}"
        await asyncio.sleep(0.1)


# --- input ------------------------------------------------------------------------------------


async def send_poison(episode: Episode) -> None:
    """For a while half of the records are invalid; sometimes a worker is killed meanwhile."""
    episode.traffic.mix.poison = 0.5
    await episode.moment(1.0)
    if episode.rng.random() < 0.3:
        await kill_worker(episode)
    episode.traffic.mix.poison = 0.0


async def send_huge(episode: Episode) -> None:
    """One record of 10 MB is sent: an event, or rubbish."""
    episode.traffic.mix.huge_bytes = 10_000_000 * episode.rng.choice((1, -1))
    await asyncio.sleep(0.2)


async def burst(episode: Episode) -> None:
    """Records are sent at twenty times the steady rate."""
    episode.rate = 20 * episode.fault.rate
    await asyncio.sleep(1.0)
    episode.rate = episode.fault.rate


# --- power ------------------------------------------------------------------------------------


async def cut_power(episode: Episode) -> None:
    """Every process is killed at once, and all are started again."""
    servers = episode.servers
    machines = [*servers.nodes, servers.redis, servers.clickhouse]
    episode.crew.rest()
    for machine in machines:
        machine.kill_soon()
    for machine in machines:
        machine.kill()
        machine.launch()
    episode.crew.resume()
    await asyncio.gather(*(machine.ready() for machine in machines))


FAULTS: Final = (
    Fault("worker killed", kill_worker, goal=DEATH),
    Fault("worker told to end", end_worker, goal=DEATH),
    Fault("worker frozen, then a zombie", freeze_worker, workers=2),
    Fault("exception in an agent", raise_in_agent, goal=DEATH),
    Fault("worker out of memory", starve_worker, breaks_brokers=True),
    Fault("one of two workers killed", kill_worker, workers=2, goal=DEATH),
    Fault("workers come and go", join_or_leave, workers=2),
    Fault("rebalance during an insert", rebalance_during_insert, workers=2),
    Fault("takeover without ClickHouse", take_over_without_clickhouse, workers=2),
    Fault("workers killed with a bundle", kill_workers_with_a_bundle, workers=2),
    Fault("worker frozen with a bundle", freeze_worker_with_a_bundle, workers=2),
    Fault("ClickHouse refuses connections", refuse_clickhouse),
    Fault("ClickHouse dies in an insert", kill_clickhouse_in_insert),
    Fault("an insert's answer is lost", lose_insert, pause=0.5),
    Fault("ClickHouse has too many parts", too_many_parts),
    Fault("ClickHouse's disk is full", disk_full),
    Fault("ClickHouse is slow", slow_clickhouse),
    Fault("Redis restarts with its file", restart_redis),
    Fault("Redis restarts empty", empty_redis),
    Fault("Redis restored from an older file", older_redis),
    Fault("Redis restored, a takeover behind", redis_from_before_a_takeover),
    Fault("Redis dies before its answer", redis_dies_before_its_answer),
    Fault("Redis' answer is lost", lose_redis_answer, pause=0.5),
    Fault("Redis is slow", slow_redis),
    Fault("Redis refuses writes", refuse_redis_writes),
    Fault("Redis fails over, a second behind", fail_redis_over),
    Fault("broker killed", kill_broker, breaks_brokers=True),
    Fault("one of three brokers down", lose_broker, nodes=3, breaks_brokers=True),
    Fault("leaders change", change_leaders, nodes=3, breaks_brokers=True),
    Fault(
        "unclean leader election",
        elect_uncleanly,
        nodes=3,
        replicas=2,
        session=60.0,
        partitions=2,
        breaks_brokers=True,
    ),
    Fault("topic made again", remake_topic),
    Fault("topic exchanged, and filled again", exchange_topic, partitions=1),
    Fault("topic made again, then Redis empty", remake_topic_and_empty_redis),
    Fault("log cut while the worker was away", truncate_log),
    Fault("poison records", send_poison),
    # A broker that the tests did not start may refuse a record of this size.
    Fault("record of 10 MB", send_huge, breaks_brokers=True),
    Fault("burst of twenty times the rate", burst),
    Fault("clocks three days off", kill_worker, mix=Mix(wrong_clock=0.3)),
    Fault("power cut", cut_power, breaks_brokers=True),
)

#: The first faults of every episode of mixed faults: one in each component, then one in all of them.
_FIRST: Final = (
    kill_worker,
    redis_dies_before_its_answer,
    kill_clickhouse_in_insert,
    older_redis,
    cut_power,
)
#: Faults that may follow each other in any order on one node.
_IN_TURN: Final = (
    *_FIRST,
    kill_broker,
    lose_insert,
    disk_full,
    raise_in_agent,
    empty_redis,
    lose_redis_answer,
    too_many_parts,
    join_or_leave,
    rebalance_during_insert,
    refuse_clickhouse,
    refuse_redis_writes,
    fail_redis_over,
    send_poison,
    end_worker,
    freeze_worker,
    kill_workers_with_a_bundle,
    freeze_worker_with_a_bundle,
)


async def next_in_turn(episode: Episode) -> None:
    """A different fault each time: first those of `_FIRST`, then random ones."""
    first = _FIRST[episode.struck : episode.struck + 1]
    await (first[0] if first else episode.rng.choice(_IN_TURN))(episode)


MIXED: Final = Fault("everything in turn", next_in_turn, workers=2, breaks_brokers=True)
#: The faults of `_FIRST` alone, for `make test`: light enough for a busy machine.
QUICK: Final = Fault(
    "each part in turn", next_in_turn, partitions=2, pause=0.3, rate=80.0, breaks_brokers=True
)
