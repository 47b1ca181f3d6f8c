"""A view's state: the sequence window, deltas, parts, and that stored rows rebuild it."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.domain.arrivals import Arrival
from streams.domain.events import Playback, ViewAttempt, ViewEnd, ViewError, ViewProgress, ViewStart
from streams.domain.rows import PlaybackRow
from streams.domain.views import ViewState, advance, part_numbers, parts_of, restore
from tests.oracle.views import parts_touched

START = 1_790_000_000_000
lengths = st.sampled_from([1, 7, 99, 100, 61_237, 240_000]) | st.integers(1, 2**40)
millis = st.integers(0, 300_000)


class NaiveWindow:
    """RFC 4303, told with a set: new ahead, once within 64, else too late."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def admit(self, seq: int) -> str:
        if self.seen and seq <= max(self.seen) - 64:
            return "late"
        if seq in self.seen:
            return "repeat"
        self.seen.add(seq)
        return "new"


seqs = st.lists(
    st.integers(0, 90) | st.integers(0, 2**31 - 1) | st.integers(2**31 - 70, 2**31 - 1),
    min_size=1,
    max_size=60,
)


@given(seqs)
def test_the_sequence_window_is_that_of_rfc_4303(numbers: list[int]) -> None:
    naive, state = NaiveWindow(), ViewState()
    assert [state.admit(seq) for seq in numbers] == [naive.admit(seq) for seq in numbers]


@given(millis, millis, lengths)
def test_parts_are_those_that_share_a_moment_with_the_stretch(from_ms: int, to_ms: int, length: int) -> None:
    assert set(part_numbers(parts_of(from_ms, to_ms, length))) == parts_touched(from_ms, to_ms, length)


audience: dict[str, Any] = {
    "event_id": "e",
    "occurred_at": 0,
    "session_id": "s",
    "video_id": "v",
    "view_id": "w",
}
totals = {"watched_ms": millis, "rebuffer_ms": millis, "rebuffer_count": st.integers(0, 50)}
stretch = {
    "bitrate_kbps": st.none() | st.sampled_from([0, 235, 5800]),
    "from_ms": st.none() | millis,
    "to_ms": st.none() | millis,
}
started = st.integers(0, 60).map(lambda seconds: START + 1000 * seconds)


def made(kind: type[Playback], **fields: Any) -> st.SearchStrategy[Playback]:
    common = {name: st.just(value) for name, value in audience.items()}
    return st.builds(kind, **common, seq=st.integers(0, 80), **fields)


events = st.one_of(
    made(ViewAttempt),
    made(ViewStart, startup_ms=millis, duration_ms=st.none() | st.sampled_from([0, 100_000, 200_000])),
    made(ViewProgress, started_at=st.just(1), **totals, **stretch),
    made(ViewError, code=st.just("x"), fatal=st.booleans(), started_at=st.none() | st.just(1)),
    made(
        ViewEnd,
        reason=st.sampled_from(["ended", "exited"]),
        started_at=st.none() | st.just(1),
        **totals,
        **stretch,
    ),
)


@st.composite
def views(draw: st.DrawFn) -> list[tuple[Arrival[Playback], int]]:
    """Draw a view's arrivals, each with the length that the catalog tells at that moment."""
    arrivals = []
    for offset, event in enumerate(draw(st.lists(events, max_size=25))):
        at = START + 250 * draw(st.integers(0, 900))
        told = draw(started) if event.started_at is not None else 0
        arrival: Arrival[Playback] = Arrival(
            event=event,
            offset=offset,
            at=at,
            received_at=at,
            started_at=min(told, at),
            claimed_at=at,
            ahead_at=0,
            user_id=draw(st.sampled_from("ab")),
            signed_in=True,
            country="US",
            device="tv",
            platform="web",
        )
        arrivals.append((arrival, draw(st.sampled_from([0, 0, 100_000]))))
    return arrivals


def run(state: ViewState, arrivals: list[tuple[Arrival[Playback], int]]) -> list[PlaybackRow]:
    return [
        advance(state, arrival, "log", "playback.events", 0, catalog_ms)
        for arrival, catalog_ms in arrivals
        if state.admit(arrival.event.seq) == "new"
    ]


@given(views())
def test_deltas_add_up_to_the_largest_totals_and_happen_once(
    arrivals: list[tuple[Arrival[Playback], int]],
) -> None:
    rows = run(ViewState(), arrivals)
    for total, delta in (
        ("watched_ms", "d_watched_ms"), ("rebuffer_ms", "d_rebuffer_ms"), ("rebuffer_count", "d_rebuffers")
    ):  # fmt: skip
        deltas = [getattr(row, delta) for row in rows]
        assert min(deltas, default=0) >= 0
        assert sum(deltas) == max((getattr(row, total) for row in rows), default=0)
    for once in ("d_views", "d_attempts", "d_fatals", "d_completions", "d_sized"):
        assert sum(getattr(row, once) for row in rows) <= 1
    parts = [part for row in rows for part in row.new_parts]
    assert len(parts) == len(set(parts)) == sum(row.d_parts for row in rows)
    assert all(0 <= part < 100 for part in parts)


@given(views())
def test_a_view_starts_and_is_attempted_at_one_moment_only(
    arrivals: list[tuple[Arrival[Playback], int]],
) -> None:
    rows = run(ViewState(), arrivals)
    for moment, deltas in (("started_at", ("d_views", "d_completions", "d_sized", "d_parts")),
                           ("attempted_at", ("d_attempts", "d_fatals"))):  # fmt: skip
        told = {getattr(row, moment) for row in rows} - {0.0}
        assert len(told) <= 1
        for row in rows:
            if any(getattr(row, delta) for delta in deltas):
                assert {getattr(row, moment)} == told


@given(views(), st.data())
def test_a_view_rebuilt_from_its_rows_goes_on_as_if_nothing_had_happened(
    arrivals: list[tuple[Arrival[Playback], int]], data: st.DataObject
) -> None:
    whole = run(ViewState(), arrivals)
    cut = data.draw(st.integers(0, len(arrivals)))
    rebuilt = ViewState()
    before = run(ViewState(), arrivals[:cut])
    for row in before:
        restore(rebuilt, row)
    assert before + run(rebuilt, arrivals[cut:]) == whole


@given(views(), st.data())
def test_replayed_events_change_nothing(
    arrivals: list[tuple[Arrival[Playback], int]], data: st.DataObject
) -> None:
    state = ViewState()
    run(state, arrivals)
    left = copy(state)
    again = data.draw(st.permutations(arrivals))
    assert run(state, list(again)) == []
    assert state == left


def heartbeat(seq: int, from_ms: int, to_ms: int) -> ViewProgress:
    return ViewProgress(
        **audience,
        seq=seq,
        started_at=START,
        watched_ms=to_ms,
        rebuffer_ms=0,
        rebuffer_count=0,
        from_ms=from_ms,
        to_ms=to_ms,
    )


def outcome(*sent: Playback) -> tuple[int, list[int]]:
    """Return the completions and the parts of a view of these events, of which the catalog knows nothing."""
    arrivals = [
        (
            Arrival(
                event=event,
                offset=offset,
                at=START + offset,
                received_at=START + offset,
                started_at=0 if event.started_at is None else START,
                claimed_at=START,
                ahead_at=0,
                user_id="a",
                signed_in=True,
                country="US",
                device="tv",
                platform="web",
            ),
            0,
        )
        for offset, event in enumerate(sent)
    ]
    rows = run(ViewState(), arrivals)
    return sum(row.d_completions for row in rows), sorted(part for row in rows for part in row.new_parts)


def test_what_was_played_counts_also_if_the_start_that_tells_the_length_comes_late() -> None:
    start = ViewStart(**audience, seq=1, startup_ms=0, duration_ms=100_000)
    beats = [heartbeat(2, 0, 10_000), heartbeat(3, 90_000, 96_000)]
    in_order = outcome(start, *beats)
    assert in_order == (1, [*range(10), *range(90, 96)])
    assert outcome(beats[0], start, beats[1]) == in_order
    assert outcome(*beats, start) == in_order
    assert outcome(beats[1], start, beats[0]) == in_order


def arrivals_of(*events: Playback) -> list[tuple[Arrival[Playback], int]]:
    return [
        (Arrival(event, 0, START, START, START, 0, 0, "a", True, "US", "tv", "web"), 0) for event in events
    ]


def test_content_whose_start_tells_no_length_is_not_kept_in_mind() -> None:
    start = ViewStart(**audience, seq=0, startup_ms=0)
    seeks = [heartbeat(seq, 2000 * seq, 2000 * seq + 1000) for seq in range(1, 200)]
    state = ViewState()
    run(state, arrivals_of(*seeks))
    assert len(state.early) == 64
    state = ViewState()
    run(state, arrivals_of(start, *seeks))
    assert not state.early


def test_whoever_does_not_seek_is_one_stretch_in_mind() -> None:
    state = ViewState()
    run(state, arrivals_of(*(heartbeat(seq, 1000 * seq, 1000 * (seq + 1)) for seq in range(500))))
    assert state.early == ((0, 500_000),)


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(1, 100)), max_size=12),
    st.integers(1, 130),
)
def test_joined_stretches_touch_the_same_parts_and_reach_as_far(
    played: list[tuple[int, int]], duration_ms: int
) -> None:
    state, parts = ViewState(), 0
    for from_ms, to_ms in played:
        state.play(from_ms, to_ms)
        parts |= parts_of(from_ms, to_ms, duration_ms)
    kept = sorted(state.early)
    assert all(one[1] < other[0] for one, other in pairwise(kept))
    state.duration_ms = duration_ms
    state.measure()
    assert state.touched == parts
    assert state.reached_end == any(100 * to_ms >= 95 * duration_ms for _, to_ms in played)
