"""Partitions are shared out evenly, and move only for that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations, product
from typing import Any

import faust
import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from hypothesis import given
from hypothesis import strategies as st

from sinks.redis.client import connect as connect_redis
from streams.app import create_app
from streams.balance import balance
from streams.faust_worker import EvenAssignor
from streams.health import Health
from streams.settings import Settings

TOPICS = ("playback.events", "system.events", "user.events", "video.catalog")
Shares = Mapping[str, Mapping[str, Collection[int]]]


def even(numbers: Collection[int]) -> bool:
    return max(numbers) - min(numbers) <= 1


def kept(before: Shares, after: Shares) -> int:
    return sum(
        len(set(own) & set(before.get(w, {}).get(topic, ())))
        for w in after
        for topic, own in after[w].items()
    )


def most_kept(sizes: Mapping[str, int], held: Shares) -> int:
    """Try every way to favour workers: return how many partitions can stay if all is even."""
    ways = []
    for topic, size in sizes.items():
        least, rest = divmod(size, len(held))
        had = {worker: len(own.get(topic, ())) for worker, own in held.items()}
        ways.append(
            [
                (favoured, sum(min(n, least + (w in favoured)) for w, n in had.items()))
                for favoured in combinations(held, rest)
            ]
        )
    return max(
        sum(stay for _, stay in way)
        for way in product(*ways)
        if even([sum(worker in favoured for favoured, _ in way) for worker in held])
    )


@st.composite
def groups(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, dict[str, list[int]]]]:
    """Draw the sizes of topics, and who held what: any worker any partition, or nobody."""
    workers = [f"worker-{number}" for number in range(draw(st.integers(1, 4)))]
    sizes = {topic: draw(st.integers(1, 6)) for topic in TOPICS[: draw(st.integers(1, 3))]}
    held: dict[str, dict[str, list[int]]] = {worker: {} for worker in workers}
    for topic, size in sizes.items():
        for number in range(size):
            if owner := draw(st.sampled_from([*workers, None])):
                held[owner].setdefault(topic, []).append(number)
    return sizes, held


def share(sizes: Mapping[str, int], held: Shares) -> dict[str, dict[str, list[int]]]:
    return balance({topic: range(size) for topic, size in sizes.items()}, dict.fromkeys(sizes, held), held)


@given(groups())
def test_all_is_shared_out_evenly_at_the_least_number_of_moves(
    group: tuple[dict[str, int], dict[str, dict[str, list[int]]]],
) -> None:
    sizes, held = group
    shares = share(sizes, held)
    for topic, size in sizes.items():
        assert sorted(number for own in shares.values() for number in own[topic]) == list(range(size))
        assert even([len(own[topic]) for own in shares.values()])
    assert even([sum(map(len, own.values())) for own in shares.values()])
    assert kept(held, shares) == most_kept(sizes, held)
    assert share(sizes, shares) == shares
    turned = {worker: dict(reversed(own.items())) for worker, own in reversed(held.items())}
    assert share(dict(reversed(sizes.items())), turned) == shares


@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        # A hands a topic on to B, which hands another one on to C: a move fewer than from A to C.
        ({"t": 2, "u": 4}, {"a": {"t": [0, 1], "u": [0, 3]}, "b": {"u": [1, 2]}, "c": {}}),
        # All is even before it is the best: somebody else must have one more than the average.
        (
            {"t": 6, "u": 6, "v": 5, "w": 5},
            {
                "a": {"t": [4, 5], "u": [5], "v": [2], "w": [2]},
                "b": {"t": [1], "u": [0, 1, 3, 4], "v": [1, 4], "w": [0, 3, 4]},
                "c": {"t": [0, 2, 3], "u": [2], "v": [0, 3], "w": [1]},
                "d": {},
            },
        ),
    ],
    ids=["by way of another", "whoever has one more"],
)
def test_rare_groups_need_no_more_moves_than_they_must(sizes: dict[str, int], held: Shares) -> None:
    assert kept(held, share(sizes, held)) == most_kept(sizes, held)


def test_of_a_topic_that_was_created_again_with_fewer_partitions_the_rest_is_forgotten() -> None:
    held = {"a": {"t": [0, 1, 2, 3, 4, 5]}, "b": {"t": [6, 7, 8, 9, 10, 11]}}
    assert share({"t": 4}, held) == {"a": {"t": [0, 1]}, "b": {"t": [2, 3]}}


def test_a_worker_that_slept_takes_back_no_more_than_its_share() -> None:
    """It held half, as one of two; three others share all of it by now."""
    held = {"0": {"t": range(6)}, "a": {"t": range(4)}, "b": {"t": range(4, 8)}, "c": {"t": range(8, 12)}}
    shares = share({"t": 12}, held)
    assert [len(shares[worker]["t"]) for worker in held] == [3, 3, 3, 3]
    assert kept({worker: held[worker] for worker in "abc"}, shares) == 9


def test_topics_go_only_to_their_readers() -> None:
    shares = balance(
        {"new": range(2), "old": range(4)}, {"new": ["b"], "old": ["a", "b"]}, {"a": {}, "b": {}}
    )
    assert shares == {"a": {"old": [0, 1]}, "b": {"new": [0, 1], "old": [2, 3]}}


class Group:
    """A consumer group: members with assignors of their own, of which the first one assigns."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = {topic.replace("_", "."): size for topic, size in sizes.items()}
        self.members: dict[str, Any] = {}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the numbers of partitions, as the cluster's metadata do."""
        return set(range(self.sizes[topic])) if topic in self.sizes else None

    def join(self, *names: str, assignor: type[PartitionAssignor] = EvenAssignor) -> int:
        for name in names:
            app = faust.App(name, broker="kafka://nowhere", web_enabled=False, PartitionAssignor=assignor)
            self.members[name] = app.assignor
        return self.rebalance()

    def leave(self, name: str) -> int:
        del self.members[name]
        return self.rebalance()

    def rebalance(self) -> int:
        """Assign by messages as they are on the wire; return how many partitions others had before."""
        before = self.owned()
        told = {
            name: ConsumerProtocolMemberMetadata.decode(member.metadata({*TOPICS}).encode())
            for name, member in self.members.items()
        }
        leader = next(iter(self.members.values()))
        for name, assignment in leader.assign(self, told).items():
            read = ConsumerProtocolMemberAssignment.decode(assignment.encode())
            self.members[name].on_assignment(read)
            assert {(tp.topic, tp.partition) for tp in read.partitions()} == self.members[
                name
            ].assigned_actives()
        after = self.owned()
        assert len(after) == sum(self.counts()) == sum(self.sizes.values())
        return sum(name != before[tp] for tp, name in after.items() if before.get(tp) in self.members)

    def owned(self) -> dict[Any, str]:
        return {tp: name for name, member in self.members.items() for tp in member.assigned_actives()}

    def counts(self, topic: str | None = None) -> list[int]:
        return [
            sum(topic in (None, tp.topic) for tp in member.assigned_actives())
            for member in self.members.values()
        ]


def test_a_fifth_worker_gets_a_share_of_twelve_partitions() -> None:
    group = Group(playback_events=12, user_events=12, system_events=12, video_catalog=12)
    group.join("1", "2", "3", "4")
    assert group.counts() == [12, 12, 12, 12]
    assert group.join("5") == 9
    assert sorted(group.counts("playback.events")) == [2, 2, 2, 3, 3]
    assert sorted(group.counts()) == [9, 9, 10, 10, 10]


def test_topics_with_one_partition_do_not_all_stay_with_one_worker() -> None:
    group = Group(playback_events=1, user_events=1, system_events=1, video_catalog=1)
    group.join("1")
    assert group.join("2") == 2
    assert group.counts() == [2, 2]


def test_a_worker_that_comes_back_moves_only_its_share() -> None:
    group = Group(playback_events=12, user_events=12)
    group.join("1", "2", "3")
    assert group.leave("2") == 0
    assert group.join("4") == 8
    assert group.counts() == [8, 8, 8]


def test_a_topic_that_was_created_again_with_fewer_partitions_stops_no_leader() -> None:
    """Members tell of partitions that are no more; Faust's assignor fails by an assertion."""
    group = Group(playback_events=12)
    group.join("1", "2")
    group.sizes["playback.events"] = 4
    group.rebalance()
    assert group.counts() == [2, 2]


async def test_workers_assign_with_it() -> None:
    clickhouse: Any = None  # Nothing connects before the app starts.
    app: Any = create_app(Settings(), connect_redis("redis://127.0.0.1:1/0"), clickhouse, Health())
    assert isinstance(app.assignor, EvenAssignor)


def test_topics_that_do_not_exist_are_left_out() -> None:
    group = Group(playback_events=3)
    group.join("1", "2")
    assert group.counts() == [2, 1]


@pytest.mark.parametrize(
    ("one", "another"), [(PartitionAssignor, EvenAssignor), (EvenAssignor, PartitionAssignor)]
)
def test_faust_s_assignor_and_ours_share_a_group_and_keep_each_other_s_assignments(
    one: Any, another: Any
) -> None:
    """As in a rolling upgrade or a rollback: workers end one by one, and begin with the other assignor."""
    group = Group(playback_events=12, user_events=12, system_events=12, video_catalog=12)
    group.join("1", "2", "3", "4", assignor=one)
    for number in "1234":
        # Whoever leads now has members of both kinds, and what left is all that moves.
        assert group.leave(number) == 0
        assert group.counts() == [16, 16, 16]
        assert group.join(f"{number}, upgraded", assignor=another) == 12
        assert group.counts() == [12, 12, 12, 12]


def test_what_faust_s_assignor_left_uneven_is_evened_out_by_the_first_leader_with_ours() -> None:
    group = Group(playback_events=12, user_events=12, system_events=12, video_catalog=12)
    group.join("1", "2", assignor=PartitionAssignor)
    for name in ("3", "4", "5"):
        group.join(name, assignor=PartitionAssignor)
    assert group.counts() == [12, 12, 12, 12, 0]
    group.leave("1")
    group.members = {
        "6": faust.App("6", broker="kafka://x", PartitionAssignor=EvenAssignor).assignor,
        **group.members,
    }
    group.rebalance()
    assert sorted(group.counts()) == [9, 9, 10, 10, 10]
