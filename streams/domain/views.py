"""The state of a view: totals to deltas, and the sequence window that drops repeats.

A view is one playback of one video by one viewer. Its events carry totals, so a lost heartbeat loses nothing:
the state keeps the largest total so far, and each event adds the amount by which it raises that. What an
event adds is a function of the event and the state before it, so a replay adds the same again.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from streams.domain.arrivals import Arrival
from streams.domain.events import TAGS, Playback, ViewAttempt, ViewStart
from streams.domain.rows import PlaybackRow

#: Width of the sequence window, as in IPsec anti-replay (RFC 4303, section 3.4.3).
WINDOW: Final = 64
_WINDOW_MASK: Final = (1 << WINDOW) - 1
#: Stretches kept of a view whose length is not known: only who seeks on purpose has more before its start.
MAX_EARLY: Final = 64
#: A view is complete when it reached this share of the content.
COMPLETE_SHARE: Final = 0.95
#: Content is cut into this many equal parts for the audience retention curve.
PARTS: Final = 100


class ViewState(Struct, gc=False):
    """The state of a view that decides what its next event adds. Instants in epoch milliseconds."""

    highest_seq: int = -1
    #: Bit i: sequence number `highest_seq - i` has not arrived. Nearly always 0, which costs no memory.
    missing: int = 0
    attempted_at: int = 0
    started_at: int = 0
    watched_ms: int = 0
    rebuffer_ms: int = 0
    rebuffers: int = 0
    duration_ms: int = 0
    #: Bit i: part i of the content was played; `credited` has the parts that earlier rows already added.
    touched: int = 0
    credited: int = 0
    #: Stretches `(from, to)` of content whose length nobody has told yet: the `view.start` that may tell
    #: it has not come. None touches another, so a viewer who does not seek has one.
    early: tuple[tuple[int, int], ...] = ()
    begun: bool = False
    sized: bool = False
    reached_end: bool = False
    completed: bool = False
    failed: bool = False

    def admit(self, seq: int) -> Literal["new", "repeat", "late"]:
        """Record a sequence number and say whether it is new, seen before, or behind the window."""
        ahead = seq - self.highest_seq
        if ahead > 0:
            self.highest_seq = seq
            # Numbers that leave the window are late from now on; skipped numbers are missing.
            if ahead == 1:
                if self.missing:
                    self.missing = self.missing << 1 & _WINDOW_MASK
            elif ahead < WINDOW:
                self.missing = (((self.missing + 1) << ahead) - 2) & _WINDOW_MASK
            else:
                self.missing = _WINDOW_MASK - 1
            return "new"
        if ahead <= -WINDOW:
            return "late"
        bit = 1 << -ahead
        if not self.missing & bit:
            return "repeat"
        self.missing ^= bit
        return "new"

    def play(self, from_ms: int, to_ms: int) -> None:
        """Take in a stretch of content that was played: how far it reached, and the parts that it touched."""
        duration = self.duration_ms
        if not duration:
            if not self.begun:
                # Not `min`: a call costs as much as the rest for whoever does not seek.
                self.early = joined(self.early, from_ms if from_ms < to_ms else to_ms, to_ms)[:MAX_EARLY]
            return
        if to_ms >= COMPLETE_SHARE * duration:
            self.reached_end = True
        self.touched |= parts_of(from_ms, to_ms, duration)

    def measure(self) -> None:
        """Take in what was played before the length was known, or forget it if the start did not tell it."""
        if self.duration_ms or self.begun:
            early, self.early = self.early, ()
            for from_ms, to_ms in early:
                self.play(from_ms, to_ms)


def joined(stretches: tuple[tuple[int, int], ...], from_ms: int, to_ms: int) -> tuple[tuple[int, int], ...]:
    """Return stretches that do not touch, and one more, which takes in those that it touches.

    Together they touch the same parts of any content as before, and reach as far.
    """
    if len(stretches) == 1 and stretches[0][1] == from_ms:
        return ((stretches[0][0], to_ms),)
    apart = []
    for stretch in stretches:
        if stretch[0] <= to_ms and from_ms <= stretch[1]:
            from_ms, to_ms = min(from_ms, stretch[0]), max(to_ms, stretch[1])
        else:
            apart.append(stretch)
    return (*apart, (from_ms, to_ms))


def parts_of(from_ms: int, to_ms: int, duration_ms: int) -> int:
    """Return the bit mask of the content's parts that `[from_ms, to_ms)` touches."""
    if to_ms > duration_ms:  # Not `min`: a call costs half as much as all of this.
        to_ms = duration_ms
    if to_ms <= from_ms:
        return 0
    first = from_ms * PARTS // duration_ms
    last = -(-to_ms * PARTS // duration_ms)
    return (1 << last) - (1 << first)


def part_numbers(mask: int) -> list[int]:
    """Return the set bits of a mask in ascending order."""
    numbers = []
    while mask:
        low = mask & -mask
        numbers.append(low.bit_length() - 1)
        mask ^= low
    return numbers


def advance(
    state: ViewState, arrival: Arrival[Playback], log: str, topic: str, partition: int, catalog_ms: int
) -> PlaybackRow:
    """Apply an admitted event to its view's state; return the row with what the event adds.

    `catalog_ms` is the content's length in the catalog, 0 when it is unknown.
    """
    event, at, started_at = arrival.event, arrival.at, arrival.started_at
    d_attempts = d_views = d_fatals = d_completions = d_sized = 0
    # The length that the player reports takes precedence over the catalog's.
    state.duration_ms = event.duration_ms or state.duration_ms or catalog_ms

    kind = type(event)
    if kind is ViewStart:
        started_at = at
        state.begun = True
    if state.early:
        state.measure()
    if started_at and not state.started_at:
        state.started_at = started_at
        d_views = 1
    if not state.attempted_at:
        if kind is ViewAttempt:
            state.attempted_at = at
            d_attempts = 1
        elif d_views or event.fatal:
            state.attempted_at = state.started_at or at
            d_attempts = 1
    if event.fatal and not state.failed:
        state.failed = True
        d_fatals = 1

    watched, rebuffer, rebuffers = event.watched_ms, event.rebuffer_ms, event.rebuffer_count
    d_watched = d_rebuffer = d_rebuffers = 0
    if watched > state.watched_ms:
        d_watched, state.watched_ms = watched - state.watched_ms, watched
    if rebuffer > state.rebuffer_ms:
        d_rebuffer, state.rebuffer_ms = rebuffer - state.rebuffer_ms, rebuffer
    if rebuffers > state.rebuffers:
        d_rebuffers, state.rebuffers = rebuffers - state.rebuffers, rebuffers

    to_ms = event.to_ms or 0
    # Without its beginning a stretch has no length, and only tells how far it reached.
    from_ms = to_ms if event.from_ms is None else event.from_ms
    if to_ms:
        state.play(from_ms, to_ms)
    if event.reason == "ended":
        state.reached_end = True

    new_parts: list[int] = []
    if state.started_at:
        if state.reached_end and not state.completed:
            state.completed = True
            d_completions = 1
        if state.duration_ms and not state.sized:
            state.sized = True
            d_sized = 1
        if state.touched != state.credited:
            new_parts = part_numbers(state.touched & ~state.credited)
            state.credited = state.touched

    bitrate = event.bitrate_kbps
    return PlaybackRow(
        log,
        topic,
        partition,
        arrival.offset,
        event.event_id,
        TAGS[kind],
        at,
        arrival.received_at,
        arrival.ahead_at,
        event.video_id,
        event.view_id,
        event.seq,
        event.session_id,
        arrival.user_id,
        arrival.signed_in,
        arrival.country,
        arrival.device,
        arrival.platform,
        state.attempted_at,
        state.started_at,
        event.startup_ms,
        watched,
        rebuffer,
        rebuffers,
        bitrate or 0,
        from_ms,
        to_ms,
        state.duration_ms,
        event.code,
        event.fatal,
        event.reason,
        d_attempts,
        d_views,
        d_fatals,
        d_completions,
        d_watched,
        d_rebuffer,
        d_rebuffers,
        0 if bitrate is None else bitrate * d_watched,
        0 if bitrate is None else d_watched,
        d_sized,
        len(new_parts),
        new_parts,
    )


def restore(state: ViewState, row: PlaybackRow) -> None:
    """Apply a stored row to a view's state: the state after all its rows is the one that `advance` left."""
    state.admit(row.seq)
    state.attempted_at = state.attempted_at or row.attempted_at
    state.started_at = state.started_at or row.started_at
    state.watched_ms = max(state.watched_ms, row.watched_ms)
    state.rebuffer_ms = max(state.rebuffer_ms, row.rebuffer_ms)
    state.rebuffers = max(state.rebuffers, row.rebuffer_count)
    state.duration_ms = row.duration_ms
    state.begun = state.begun or row.type == TAGS[ViewStart]
    if state.early:
        state.measure()
    if row.to_ms:
        state.play(row.from_ms, row.to_ms)
    state.reached_end = state.reached_end or row.reason == "ended"
    for part in row.new_parts:
        state.credited |= 1 << part
    state.touched |= state.credited
    state.sized = state.sized or bool(row.d_sized)
    state.completed = state.completed or bool(row.d_completions)
    state.failed = state.failed or bool(row.d_fatals)
