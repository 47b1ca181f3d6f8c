"""Readings of users and their sessions: the counts that a store returns, without ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from streams.domain.windows import QUARTER, Stretch, Window, floor, midnight

#: Retention is computed for these days after the first one.
DAYS_LATER: Final = (1, 7, 30)
#: Lengths of the stretches of `activeUsers`, in days.
ACTIVE_DAYS: Final = {"daily": 1, "weekly": 7, "monthly": 30}
#: A sessionId that returns after it was silent for longer than this may count as a new session.
SESSION_SILENCE: Final = timedelta(days=7)
#: For how long before a window the days of its sessions are read.
SESSIONS_AHEAD: Final = SESSION_SILENCE + timedelta(days=1)
#: A session with a second page, an action, any playback, or this length is not a bounce.
BOUNCE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ActivityReading:
    """Active users, their sessions and actions. `durations_ms` is the sum over all sessions."""

    active: Mapping[str, int]
    """Distinct users by the names of `ACTIVE_DAYS`."""
    sessions: int
    durations_ms: int
    devices: Mapping[str, int]
    """Sessions by the device of their first event; only devices with sessions."""
    actions: Mapping[str, int]
    """Events by `uploads`, `comments`, `likes`, `shares`."""


@dataclass(frozen=True, slots=True)
class GrowthReading:
    """New, returning and lost users.

    `active` counts the users of the window, `new` those of them never seen before it. `previous` counts the
    users of the previous window and `lost` those of them who are not in this one; both None without one.
    `sources` counts the new users who signed up, by the source of their first signup.
    """

    active: int
    new: int
    previous: int | None
    lost: int | None
    sources: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Users with their first event on one local day; `returned` counts those active N days later, by N.

    A cohort at the edge of a window has two parts: the users first seen `inside` the window, and the rest.
    """

    day: date
    inside: bool
    size: int
    returned: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class SessionSums:
    """Sums over some sessions."""

    sessions: int = 0
    durations_ms: int = 0
    pages: int = 0
    bounced: int = 0

    def __add__(self, other: SessionSums) -> SessionSums:
        """Add the sums over other sessions."""
        return SessionSums(
            self.sessions + other.sessions,
            self.durations_ms + other.durations_ms,
            self.pages + other.pages,
            self.bounced + other.bounced,
        )


@dataclass(frozen=True, slots=True)
class HourReading:
    """Sessions that began in one hour of the day: distinct users, sessions, and those that did not bounce."""

    users: int = 0
    sessions: int = 0
    engaged: int = 0


@dataclass(frozen=True, slots=True)
class EngagementReading:
    """Sessions of users first seen in the window, those of all others, and all by hour of the day (0-23)."""

    new: SessionSums
    returning: SessionSums
    hours: Mapping[int, HourReading]


class UserReader(Protocol):
    """Reads counts of users. Every method raises `StoreUnavailableError` when the store cannot answer."""

    async def first(self) -> datetime | None:
        """Return the quarter of an hour of the first event that is kept of any user; None without one."""

    async def activity(self, window: Window) -> ActivityReading:
        """Return active users up to the end of the window, and sessions and actions in it."""

    async def growth(self, window: Window) -> GrowthReading:
        """Return new users of the window, and those lost since the previous one."""

    async def retention(self, window: Window) -> Sequence[Cohort]:
        """Return every cohort first seen in the window or up to 30 days before it, in order of days."""

    async def engagement(self, window: Window) -> EngagementReading:
        """Return the sessions that began in the window."""


def active_stretches(window: Window) -> dict[str, Stretch]:
    """Return the last 1, 7 and 30 days up to the end of a window, by the names of `ACTIVE_DAYS`.

    Days are calendar days when the window ends at a midnight of its time zone, else 24 hours each; then 7 and
    30 days begin with a full quarter of an hour, because single events may not be kept for so long. A window
    that ends later is taken to end tonight at midnight.
    """
    zone = window.zone
    tonight = midnight(window.as_of.astimezone(zone).date() + timedelta(days=1), zone)
    end = min(window.end, tonight)
    day = end.astimezone(zone).date()
    if midnight(day, zone) == end:
        starts = {name: midnight(day - timedelta(days=days), zone) for name, days in ACTIVE_DAYS.items()}
    else:
        starts = {name: end - timedelta(days=days) for name, days in ACTIVE_DAYS.items()}
        starts |= {name: floor(start, QUARTER) for name, start in starts.items() if ACTIVE_DAYS[name] > 1}
    return {name: Stretch(start, end) for name, start in starts.items()}
