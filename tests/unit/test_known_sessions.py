"""What today changes about sums over sessions: sums over all, less those over what was known before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import pytest

from sinks.clickhouse.hash_index import HashMap
from sinks.clickhouse.known_sessions import (
    EARLIER,
    ID,
    RECENT,
    SESSION,
    VISITOR,
    KnownSessions,
    RecentSessions,
)
from sinks.clickhouse.recent_rows import RecentRows
from streams.domain.local_time import Clock
from tests.audience import tables
from tests.audience.tables import table

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: The window is the second day and what there is of the third, which is today.
START, TODAY, END = DAY_MS, 2 * DAY_MS, 3 * DAY_MS
USERS = range(6)
UTC = Clock((0,), (0,))
#: The clock goes back by half an hour within the window.
SHIFTED = Clock((0, (START + 5 * HOUR_MS) // 1000), (-5 * 3600, -5 * 3600 - 1800))


@dataclass(frozen=True)
class Part:
    """What a session has been on some days."""

    opened_ms: int
    device: int
    user: int
    last_ms: int
    pages: int
    acted: bool
    watched: bool

    def row(self, session: int) -> tuple[int, ...]:
        opening = self.opened_ms * 16 + self.device
        return (session, opening, self.user, self.last_ms, self.pages, self.acted, self.watched)

    def followed_by(self, later: Part) -> Part:
        return Part(
            self.opened_ms,
            self.device,
            self.user,
            later.last_ms,
            self.pages + later.pages,
            self.acted or later.acted,
            self.watched or later.watched,
        )

    @property
    def bounced(self) -> bool:
        short = self.last_ms - self.opened_ms < 10_000
        return self.pages <= 1 and short and not self.acted and not self.watched


def parts(rng: Random) -> tuple[dict[int, Part], dict[int, Part]]:
    """Return sessions by id, before today and today; some go on, close to midnight or through the days."""

    def part(opened_ms: int, longest: int) -> Part:
        return Part(
            opened_ms,
            rng.randrange(1, 7),
            rng.choice(USERS),
            opened_ms + rng.choice((0, rng.randrange(longest))),
            rng.choice((0, 0, 1, 3)),
            rng.random() < 0.1,
            rng.random() < 0.1,
        )

    before, now = {}, {}
    for session in range(rng.randrange(60)):
        late = TODAY - 1 - rng.choice((rng.randrange(3000), rng.randrange(2 * DAY_MS)))
        if rng.random() < 0.6:
            before[session] = part(late, TODAY - late)
        if session not in before or rng.random() < 0.4:
            now[session] = part(TODAY + rng.choice((rng.randrange(3000), rng.randrange(DAY_MS // 2))), 20_000)
    return before, now


def whole(before: dict[int, Part], now: dict[int, Part]) -> Iterable[Part]:
    for session in before | now:
        if session in before and session in now:
            yield before[session].followed_by(now[session])
        else:
            yield before.get(session) or now[session]


def hour_of(at_ms: int, clock: Clock) -> int:
    seconds = at_ms // 1000
    offset = [offset for since, offset in zip(clock.since, clock.offsets, strict=True) if since <= seconds][
        -1
    ]
    return (seconds + offset) // 3600 % 24


Sums = dict[tuple[int, ...], dict[str, int]]


def sums(sessions: Iterable[Part], earlier: set[int], clock: Clock) -> tuple[Sums, Sums]:
    """Return the sums by device, and by type and hour, of the sessions of the window."""
    by_device: Sums = defaultdict(lambda: defaultdict(int))
    by_hour: Sums = defaultdict(lambda: defaultdict(int))
    users = defaultdict(set)
    for each in sessions:
        if not START <= each.opened_ms < END:
            continue
        group = (int(each.user not in earlier), hour_of(each.opened_ms, clock))
        for row in (by_device[each.device,], by_hour[group]):
            row["sessions"] += 1
            row["durations_ms"] += each.last_ms - each.opened_ms
        by_hour[group]["page_views"] += each.pages
        by_hour[group]["bounces"] += each.bounced
        users[group].add(each.user)
    for group, some in users.items():
        by_hour[group]["users"] = len(some)
    return by_device, by_hour


def less(now: Sums, before: Sums) -> Sums:
    """Return the differences that there are."""
    differences = {
        key: {name: now[key][name] - before[key][name] for name in {*now[key], *before[key]}}
        for key in {*now, *before}
    }
    return {key: row for key, row in differences.items() if any(row.values())}


def told(rows: list[dict[str, int]], *keys: str) -> Sums:
    found = {tuple(row.pop(key) for key in keys): row for row in rows}
    return {key: row for key, row in found.items() if any(row.values())}


def recent(rows: Iterable[tuple[int, ...]]) -> RecentRows:
    return tables.recent(RECENT, [(*row, 1) for row in rows])


@pytest.mark.parametrize("clock", [UTC, SHIFTED])
def test_the_difference_is_that_of_the_sums(clock: Clock) -> None:
    rng = Random(7)
    for _ in range(150):
        before, now = parts(rng)
        earlier = {user for user in USERS if rng.random() < 0.4}
        bits = {user: EARLIER for user in earlier}
        for each in before.values():
            if START <= each.opened_ms < END:
                bits[each.user] = bits.get(each.user, 0) | 1 << hour_of(each.opened_ms, clock)
        known = KnownSessions(
            table(SESSION, [part.row(session) for session, part in sorted(before.items())]),
            table(ID, [(session,) for session in sorted(before)]),
        )
        heard = recent(part.row(session) for session, part in now.items())
        late = known.since(heard, START, END)
        assert late is not None
        devices, hours = (
            less(after, then)
            for after, then in zip(
                sums(whole(before, now), earlier, clock), sums(before.values(), earlier, clock), strict=True
            )
        )
        assert told(late.by_device(), "device") == devices
        visitors = HashMap.of(table(VISITOR, sorted(bits.items())))
        assert told(late.by_type_and_hour(visitors, clock), "fresh", "hour") == hours


@pytest.mark.parametrize("id_", [5, 9])
def test_a_session_of_which_only_the_id_is_known_is_a_question_for_the_store(id_: int) -> None:
    known = KnownSessions(table(SESSION, []), table(ID, [(5,), (9,)]))
    back = Part(TODAY, 1, 1, TODAY, 1, False, False).row(id_)
    assert known.since(recent([back]), START, END) is None


def test_today_is_kept_for_few_ends_of_windows_and_for_those_that_are_asked_for() -> None:
    known = KnownSessions(table(SESSION, []), table(ID, []))
    tonight = date(2050, 11, 20)
    kept = known.recent(tonight)
    kept.update(table(RECENT, [(*Part(TODAY, 1, 1, TODAY, 1, False, False).row(7), 1)]))
    for later in range(1, 100):
        other = known.recent(tonight + timedelta(days=later))
        other.update(table(RECENT, [(*Part(TODAY, 1, 1, TODAY, 1, False, False).row(7), 1)]))
        assert known.recent(tonight + timedelta(days=later)) is other
        assert known.recent(tonight) is kept
    assert known.nbytes < 6 * kept.nbytes
    assert not len(known.recent(tonight + timedelta(days=1)))


def new(*sessions: Part) -> RecentSessions:
    """Return sessions of which none was known before."""
    heard = recent(part.row(number) for number, part in enumerate(sessions))
    late = KnownSessions(table(SESSION, []), table(ID, [])).since(heard, START, END)
    assert late is not None
    return late


def test_a_session_counts_where_it_began_and_windows_are_half_open() -> None:
    edges = [Part(at, at == END, 1, at, 1, False, False) for at in (START - 1, START, END - 1, END)]
    assert new(*edges).by_device() == [{"device": 0, "sessions": 2, "durations_ms": 0}]


def test_a_session_of_ten_seconds_is_no_bounce_and_a_change_of_the_clock_counts_from_its_instant() -> None:
    change = START + 5 * HOUR_MS
    lengths = [
        Part(at, 1, 1, at + 9_999 + more, 1, False, False) for more, at in enumerate((change - 1, change))
    ]
    rows = new(*lengths).by_type_and_hour(HashMap.of(table(VISITOR, [])), SHIFTED)
    # 23:59:59.999 before the clock goes back by half an hour, and 23:30 after.
    assert [(row["hour"], row["sessions"], row["bounces"], row["users"]) for row in rows] == [(23, 2, 1, 1)]
