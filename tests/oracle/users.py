"""What `/analytics/users` and `/analytics/users/engagement` must answer, from the written definitions alone.

A user is `userId`, else `viewerId`. A session is all events of one `sessionId` within a week of the window,
in the window of its first event; its user and device are those of that event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.log import PLAYBACK, USERS, Accepted, user_of
from tests.oracle.windows import Span, Window, ms

DEVICES = ("desktop", "mobile", "tablet", "tv", "other", "unknown")
ACTIONS = {
    "uploads": "video.upload",
    "comments": "video.comment",
    "likes": "video.like",
    "shares": "video.share",
}
DAYS_LATER = (1, 7, 30)
_SEARCHED = timedelta(days=7)
_UTC = ZoneInfo("UTC")


@dataclass
class Session:
    """All events of one sessionId, in order of time."""

    events: list[Accepted] = field(default_factory=list)

    @property
    def first(self) -> Accepted:
        return self.events[0]

    @property
    def seconds(self) -> float:
        return (self.events[-1].at - self.events[0].at) / 1000

    def count(self, *types: str) -> int:
        return sum(event.event["type"] in types for event in self.events)

    @property
    def bounced(self) -> bool:
        played = any(event.topic == PLAYBACK for event in self.events)
        acted = self.count("user.signup", *ACTIONS.values())
        return self.count("page.view") <= 1 and self.seconds < 10 and not played and not acted


def device_of(event: dict[str, Any]) -> str:
    """Return the device as stored: `unknown` when the event names none, `other` for an unlisted name."""
    told = event.get("device")
    if told is None:
        return "unknown"
    return told if told in DEVICES[:5] else "other"


class Audience:
    """The events of users, and the API's answers about them."""

    def __init__(self, accepted: Iterable[Accepted]) -> None:
        self.events = sorted(
            (each for each in accepted if each.topic in (PLAYBACK, USERS)),
            # At one instant, the device earlier in the list opens the session.
            key=lambda each: (each.at, DEVICES.index(device_of(each.event))),
        )
        self.first_seen: dict[str, int] = {}
        signups: dict[str, tuple[int, str]] = {}
        self.sessions: dict[str, Session] = {}
        for each in self.events:
            user = user_of(each.event)
            self.first_seen.setdefault(user, each.at)
            self.sessions.setdefault(each.event["sessionId"], Session()).events.append(each)
            if each.event["type"] == "user.signup":
                # The first signup counts; of two at one instant, the source first in the alphabet.
                signup = (each.at, each.event["source"])
                signups[user] = min(signups.get(user, signup), signup)
        self.sources = {user: source for user, (_, source) in signups.items()}
        #: Cache of (user, local day with activity) by time zone: most answers need these pairs.
        self._days: dict[ZoneInfo, set[tuple[str, date]]] = {}

    @property
    def first(self) -> datetime | None:
        """Return when the first event happened."""
        return _instant(self.events[0].at) if self.events else None

    def active(self, span: Span) -> set[str]:
        return {user_of(each.event) for each in self.within(span)}

    def within(self, span: Span) -> list[Accepted]:
        start, end = ms(span.start), ms(span.end)
        return [each for each in self.events if start <= each.at < end]

    def days(self, zone: ZoneInfo) -> set[tuple[str, date]]:
        if zone not in self._days:
            self._days[zone] = {(user_of(each.event), _day(each.at, zone)) for each in self.events}
        return self._days[zone]

    def new(self, span: Span) -> set[str]:
        return {user for user, at in self.first_seen.items() if at in span}

    def sessions_of(self, span: Span) -> list[Session]:
        """Return the sessions of a span, cut `_SEARCHED` before and after its days."""
        first, last = _day(ms(span.start), _UTC), _day(ms(span.end) - 1, _UTC)
        near = Span(_midnight(first - _SEARCHED, _UTC), _midnight(last + _SEARCHED + timedelta(days=1), _UTC))
        events = ([each for each in session.events if each.at in near] for session in self.sessions.values())
        return [Session(some) for some in events if some and some[0].at in span]

    def users(self, window: Window, now: datetime) -> dict[str, Any]:
        """Answer `GET /analytics/users`."""
        return {
            "activity": self.activity(window, now),
            "growth": self.growth(window),
            "retention": self.retention(window, now),
        }

    def activity(self, window: Window, now: datetime) -> dict[str, Any]:
        sessions = self.sessions_of(window.span)
        devices = Counter(device_of(session.first.event) for session in sessions)
        types = Counter(each.event["type"] for each in self.within(window.span))
        return {
            "activeUsers": {
                name: len(self.active(_last_days(days, window, now)))
                for name, days in (("daily", 1), ("weekly", 7), ("monthly", 30))
            },
            "sessions": {
                "total": len(sessions),
                "averageDuration": _mean([session.seconds for session in sessions]),
                "byDevice": dict(devices),
            },
            "actions": {name: types[event] for name, event in ACTIONS.items()},
        }

    def growth(self, window: Window) -> dict[str, Any]:
        now, new = self.active(window.span), self.new(window.span)
        churn = None
        if window.previous is not None:
            before = self.active(window.previous)
            churn = _ratio(len(before - now), len(before))
        return {
            "newUsers": len(new),
            "returningUsers": len({user for user in now if self.first_seen[user] < ms(window.span.start)}),
            "churnRate": churn,
            "bySource": dict(Counter(self.sources.get(user) or "unknown" for user in new)),
        }

    def retention(self, window: Window, now: datetime) -> dict[str, Any]:
        zone = window.zone
        first_day = {user: _day(at, zone) for user, at in self.first_seen.items()}
        days = self.days(zone)

        def share(users: Iterable[str], later: int) -> float | None:
            pool = list(users)
            kept = [user for user in pool if (user, first_day[user] + timedelta(later)) in days]
            return _ratio(len(kept), len(pool))

        def of_day(day: date) -> Span:
            return Span(_midnight(day, zone), _midnight(day + timedelta(1), zone))

        def pooled(later: int) -> float | None:
            return share(
                (
                    user
                    for user, day in first_day.items()
                    for target in [of_day(day + timedelta(later))]
                    if window.span.start <= target.start and target.end <= min(window.span.end, now)
                ),
                later,
            )

        cohorts: dict[date, list[str]] = {}
        for user in self.new(window.span):
            cohorts.setdefault(first_day[user], []).append(user)
        return {
            **{f"day{later}": pooled(later) for later in DAYS_LATER},
            "cohorts": [
                {
                    "date": day.isoformat(),
                    **{
                        f"day{later}": share(users, later)
                        if of_day(day + timedelta(later)).end <= now
                        else None
                        for later in DAYS_LATER
                    },
                }
                for day, users in sorted(cohorts.items())
            ],
        }

    def engagement(self, window: Window) -> dict[str, Any]:
        """Answer `GET /analytics/users/engagement`."""
        sessions = self.sessions_of(window.span)
        new = self.new(window.span)
        is_new = {id(session): user_of(session.first.event) in new for session in sessions}
        by_hour: dict[int, list[Session]] = {hour: [] for hour in range(24)}
        for session in sessions:
            by_hour[_instant(session.first.at).astimezone(window.zone).hour].append(session)
        return {
            "engagement": {
                "averageSessionDuration": _mean([session.seconds for session in sessions]),
                "pagesPerSession": _mean([session.count("page.view") for session in sessions]),
                "bounceRate": _mean([session.bounced for session in sessions]),
                "byUserType": {
                    name: {
                        "sessionDuration": _mean([each.seconds for each in of_type]),
                        "pagesPerSession": _mean([each.count("page.view") for each in of_type]),
                    }
                    for name, wanted in (("new", True), ("returning", False))
                    for of_type in [[each for each in sessions if is_new[id(each)] is wanted]]
                },
                "byTimeOfDay": [
                    {
                        "hour": hour,
                        "users": len({user_of(session.first.event) for session in began}),
                        "engagement": _mean([not session.bounced for session in began]),
                    }
                    for hour, began in by_hour.items()
                ],
            }
        }


def _last_days(days: int, window: Window, now: datetime) -> Span:
    """Return the last `days` days before the end of the window, or before tonight's midnight if earlier.

    They are calendar days when that end is a local midnight, else 24 hours each; then several days begin with
    the quarter of an hour in which they would.
    """
    tonight = _midnight(now.astimezone(window.zone).date() + timedelta(1), window.zone)
    end = min(window.span.end, tonight)
    local = end.astimezone(window.zone).date()
    if _midnight(local, window.zone) == end:
        return Span(_midnight(local - timedelta(days), window.zone), end)
    start = end - timedelta(days)
    if days > 1:
        start -= timedelta(seconds=start.timestamp() % 900)
    return Span(start, end)


def _mean(values: list[float]) -> float | None:
    return _ratio(sum(values), len(values))


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _instant(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)


def _day(at: int, zone: ZoneInfo) -> date:
    return _instant(at).astimezone(zone).date()


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
