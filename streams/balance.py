"""Which worker is to have which partitions: as even as can be, with as few moves as that needs.

Faust lets each worker keep up to the rounded-up average: of 12 partitions that four workers have, a fifth one
would get none (decision 31).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from math import inf

Numbers = dict[str, list[int]]
"""Numbers of partitions in order, by worker or by topic."""


def balance(
    partitions: Mapping[str, Collection[int]],
    readers: Mapping[str, Collection[str]],
    held: Mapping[str, Mapping[str, Collection[int]]],
) -> dict[str, Numbers]:
    """Return by worker and topic the partitions that each worker is to have.

    `partitions` and `readers` have by topic its partitions and the workers that read it, at least one. `held`
    has what each worker had so far. No worker gets two partitions more than another, neither of one topic nor
    of all topics that the same workers read, and no assignment of that kind moves fewer. The order of the
    arguments makes no difference. Of several workers that held a partition, as after a long sleep of one, the
    one that held the fewest counts.
    """
    shares: dict[str, Numbers] = {worker: {} for worker in held}
    groups: dict[tuple[str, ...], list[str]] = {}
    for topic in sorted(partitions):
        groups.setdefault(tuple(sorted(readers[topic])), []).append(topic)
    for workers, topics in groups.items():
        group: dict[str, _Topic] = {}
        for topic in topics:
            own = {worker: held[worker].get(topic, ()) for worker in workers}
            group[topic] = _Topic(sorted(partitions[topic]), own)
        _level(list(group.values()), workers)
        for topic, one in group.items():
            for worker, numbers in one.shares().items():
                shares[worker][topic] = numbers
    return shares


class _Topic:
    """A topic whose partitions are shared out among its readers.

    All get the rounded-down average, and those that are favoured one more.
    """

    def __init__(self, partitions: Sequence[int], held: Mapping[str, Iterable[int]]) -> None:
        """Favour the first workers, until `_level` decides."""
        self._partitions = partitions
        self._held = _without_doubles(partitions, held)
        self._least, rest = divmod(len(partitions), len(held))
        #: Workers that lose one partition less if they are favoured.
        self.keen = {worker for worker, own in self._held.items() if len(own) > self._least}
        self.favoured = set(sorted(held)[:rest])

    def shares(self) -> Numbers:
        """Return the partitions of each worker: what it had, as far as there is room, then what is free."""
        room = {worker: self._least + (worker in self.favoured) for worker in self._held}
        shares = {worker: own[: room[worker]] for worker, own in self._held.items()}
        kept = {number for own in shares.values() for number in own}
        free = iter([number for number in self._partitions if number not in kept])
        for worker, own in shares.items():
            own.extend(islice(free, room[worker] - len(own)))
        return {worker: sorted(own) for worker, own in shares.items()}


def _without_doubles(partitions: Sequence[int], held: Mapping[str, Iterable[int]]) -> Numbers:
    """Return what each worker held of the partitions that there are, each of them once."""
    found = {worker: set(own).intersection(partitions) for worker, own in held.items()}
    owned: Numbers = {worker: [] for worker in held}
    for number in partitions:
        holders = [worker for worker, own in found.items() if number in own]
        if holders:
            owned[min(holders, key=lambda worker: (len(found[worker]), worker))].append(number)
    return owned


def _level(topics: Sequence[_Topic], workers: Sequence[str]) -> None:
    """Favour no worker in two topics more than another, at the least number of moves.

    This is a flow of least cost. Each step takes the cheapest way on which one of the most favoured workers
    hands a favour on, by way of others if need be, to one of the least favoured. For that, nothing may be
    gained by handing favours round in a circle: at first there is none, as the first workers are favoured.
    """
    while True:
        times = {worker: sum(worker in topic.favoured for topic in topics) for worker in workers}
        most, least = max(times.values()), min(times.values())
        costs, givers = _ways({worker for worker in workers if times[worker] == most}, topics, workers)
        cost, taker = min((costs[worker], worker) for worker in workers if times[worker] == least)
        if most == least or (most - least == 1 and cost >= 0):
            return
        while taker in givers:
            giver, topic = givers[taker]
            topic.favoured.remove(giver)
            topic.favoured.add(taker)
            taker = giver


def _ways(
    sources: Collection[str], topics: Sequence[_Topic], workers: Sequence[str]
) -> tuple[dict[str, float], dict[str, tuple[str, _Topic]]]:
    """Return how many moves more it takes to favour each worker instead of a source, and who hands it what.

    The algorithm is that of Bellman and Ford. A keen giver makes one move more, and a keen taker one less.
    """
    costs = {worker: 0.0 if worker in sources else inf for worker in workers}
    givers: dict[str, tuple[str, _Topic]] = {}
    is_better = True
    while is_better:
        is_better = False
        for topic in topics:
            able = [(costs[one] + (one in topic.keen), one) for one in workers if one in topic.favoured]
            at_giver, giver = min(able, default=(inf, ""))
            for taker in workers:
                cost = at_giver - (taker in topic.keen)
                if taker not in topic.favoured and cost < costs[taker]:
                    costs[taker], givers[taker], is_better = cost, (giver, topic), True
    return costs, givers
