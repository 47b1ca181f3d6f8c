"""Rows to live counters: the fold does not care how it is cut, and adds up what the rows say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import astuple
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.aggregate import Live, fold_playback, fold_users, user_hash
from streams.domain.measures import MEASURES, Anchor
from streams.domain.rows import PlaybackRow, UserRow
from tests.oracle.log import PLAYBACK, USERS
from tests.readings.rows import playback, reaction
from tests.unit.test_domain_folding import BUCKET_OF, NOW, REACTIONS, Way, take
from tests.world.feed import cut
from tests.world.world import build

SINCE = int(NOW.timestamp()) // 60 - 30 * 24 * 60
Fold = Callable[..., Live]


@cache
def rows_of(topic: str) -> list[Any]:
    return take(build(7, NOW, views=60, visits=80), Way()).rows[topic]


def plain(live: Live) -> tuple[Any, ...]:
    return astuple(live)


@pytest.mark.parametrize(("fold", "topic"), [(fold_playback, PLAYBACK), (fold_users, USERS)])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), largest=st.integers(1, 400))
def test_folding_parts_and_merging_them_is_folding_the_whole(
    fold: Fold, topic: str, seed: int, largest: int
) -> None:
    rows = rows_of(topic)
    whole = fold(rows, SINCE)
    assert whole
    merged = Live()
    onto = Live()
    for part in cut(Random(seed), rows, largest):
        merged.merge(fold(part, SINCE))
        fold(part, SINCE, onto)
    assert plain(merged) == plain(onto) == plain(whole)


@settings(max_examples=25)
@given(cuts=st.tuples(st.integers(0, 2000), st.integers(0, 2000)))
def test_merging_is_associative_and_empty_is_neutral(cuts: tuple[int, int]) -> None:
    rows = rows_of(PLAYBACK)
    first, second = sorted(cuts)
    a, b, c = (fold_playback(part, SINCE) for part in (rows[:first], rows[first:second], rows[second:]))
    left, right = deepcopy(a), deepcopy(b)
    left.merge(b)
    left.merge(c)
    right.merge(c)
    a.merge(right)
    assert plain(left) == plain(a)
    before = plain(deepcopy(a))
    a.merge(Live())
    nothing = Live()
    assert not nothing
    nothing.merge(a)
    assert plain(a) == before == plain(nothing)


@pytest.mark.parametrize("since", [SINCE, SINCE + 29 * 24 * 60, int(NOW.timestamp()) // 60 + 1])
def test_counters_hold_what_the_rows_say_from_a_minute_on(since: int) -> None:
    expected: Counter[tuple[tuple[int, str], str]] = Counter()
    viewers: dict[tuple[int, str], set[int]] = {}
    watching: dict[tuple[str, str], int] = {}
    live = Live()
    row: Any
    for row in rows_of(PLAYBACK):
        assert isinstance(row, PlaybackRow)
        for column, at in BUCKET_OF.items():
            cell = (getattr(row, at) // 60_000, row.video_id)
            if cell[0] >= since and (amount := getattr(row, f"d_{column}")):
                expected[cell, column] += amount
                if column == "views":
                    viewers.setdefault(cell, set()).add(user_hash(row.user_id))
                    for name in (
                        f"country:{row.country}",
                        f"device:{row.device}",
                        f"platform:{row.platform}",
                    ):
                        expected[cell, name] += 1
        # Two hours after the window begins it is now, and two minutes before that somebody still watched.
        if row.occurred_at >= (since * 60 + 7200 - 120) * 1000:
            view = (row.video_id, row.view_id)
            watching[view] = max(watching.get(view, 0), row.occurred_at)
    for row in rows_of(USERS):
        assert isinstance(row, UserRow)
        if row.type in REACTIONS and row.occurred_at // 60_000 >= since:
            expected[(row.occurred_at // 60_000, row.video_id), REACTIONS[row.type]] += 1
    live.merge(fold_playback(rows_of(PLAYBACK), since))
    live.merge(fold_users(rows_of(USERS), since))
    counted = {
        (cell, name): value for cell, names in live.counters.items() for name, value in names.items() if value
    }
    assert counted == expected
    assert live.viewers == viewers
    seen = {(video, view): at for video, views in live.watching.items() for view, at in views.items()}
    assert seen == watching


def test_every_measure_of_a_row_is_counted() -> None:
    deltas = {f"d_{name}": 1 for name, of in MEASURES.items() if of.anchor is not Anchor.REACTION}
    live = fold_playback([playback("v", NOW, attempted_at=NOW, started_at=NOW, **deltas)], SINCE)
    for kind in (of.event for of in MEASURES.values() if of.anchor is Anchor.REACTION):
        fold_users([reaction("v", NOW, kind)], SINCE, live)
    (counters,) = live.counters.values()
    assert {name: counters.get(name) for name in MEASURES} == dict.fromkeys(MEASURES, 1)


@given(st.text())
def test_a_users_hash_fits_a_signed_64_bit_integer_and_is_stable(user: str) -> None:
    assert -(2**63) <= user_hash(user) < 2**63
    assert user_hash(user) == user_hash(user)


def test_a_users_hash_is_the_same_in_every_process() -> None:
    # Stored in Redis: another value for the same user would be another user.
    assert user_hash("user_1") == int.from_bytes(HASH_OF_USER_1, "big", signed=True)


#: BLAKE2b with a digest of 8 bytes (RFC 7693) of `user_1`, computed with coreutils: `b2sum -l 64`.
HASH_OF_USER_1 = bytes.fromhex("d0da4a6cab4699df")
