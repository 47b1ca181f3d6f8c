"""One visit of one person: pages, views, likes and comments, the requests they cause, and its end."""

from __future__ import annotations

from typing import Any, Final

from deploy.traffic.catalog import Video
from deploy.traffic.events import USER, Actor, Event, rfc3339
from deploy.traffic.people import Person
from deploy.traffic.views import View, stay
from deploy.traffic.world import World

_BOUNCED: Final = 0.23
#: Chance that another view follows a view.
_ANOTHER: Final = 0.4
_MOST_VIEWS: Final = 12
#: Views of a visit on average, by the two chances above.
VIEWS_PER_VISIT: Final = (1 - _BOUNCED) / (1 - _ANOTHER)
_LEFT_SILENTLY: Final = 0.2
_SEARCHED: Final = 0.18
_WENT_HOME: Final = 0.25
_MAIN_GEAR: Final = 0.82
#: Chances per view, of people who are signed in; anyone may share.
_ACTIONS: Final = (("video.like", 0.055, True), ("video.comment", 0.012, True), ("video.share", 0.010, False))
_LATE_CLIENT: Final = 0.22


class Visit:
    """The identity of a visit, and the user events made with it."""

    def __init__(self, world: World, person: Person, at_ms: int) -> None:
        """Begin a visit of `person` at `at_ms`, on one of the person's devices."""
        rng = world.rng
        device, platform = person.gear[0] if rng.random() < _MAIN_GEAR else person.gear[1]
        self.id = world.ids.session()
        self.person = person
        self.text_time = platform == "tv"
        self.who: dict[str, Any] = {
            "sessionId": self.id,
            "userId" if person.signed_in else "viewerId": person.id,
        }
        if person.signed_in and platform == "web":
            self.who["viewerId"] = f"anon_{person.id[4:]}"  # the browser's cookie
        if person.country is not None:
            self.who["country"] = person.country
        self.who["device"] = device
        self.who["platform"] = platform
        # Apps send events in batches, a little after the events occurred.
        self.delay_ms = rng.randint(20, 900) if platform != "web" and rng.random() < 2 * _LATE_CLIENT else 0
        self._sent = 0

    def event(self, kind: str, at_ms: int, **own: Any) -> Event:
        """Return a user event of this visit that occurred at `at_ms`."""
        value = {
            "eventId": f"{self.id}.{self._sent}",
            "type": kind,
            "occurredAt": self._time(at_ms),
            **self.who,
            **own,
        }
        if self.delay_ms:
            value["sentAt"] = self._time(at_ms + self.delay_ms)
        self._sent += 1
        return USER, self.person.id, at_ms + self.delay_ms, value

    def _time(self, at_ms: int) -> int | str:
        return rfc3339(at_ms) if self.text_time else at_ms


def session(world: World, person: Person, at_ms: int, *, first: bool = False) -> Actor:
    """Yield a visit that begins at `at_ms`; nothing when the person is on a visit already.

    On a `first` visit, a person with an account signs up before anything else.
    """
    if person.online:
        return
    person.online = True
    try:
        for event in _visit(world, person, at_ms, first and person.signed_in):
            world.visit_events += 1
            yield event
    finally:
        person.online = False


def _visit(world: World, person: Person, at: int, signs_up: bool) -> Actor:
    rng, request = world.rng, world.operations.request
    visit = Visit(world, person, at)
    lag = visit.delay_ms
    yield visit.event("session.start", at)
    video = world.library.pick(rng, at)
    on_video = person.source in ("social", "referral") or rng.random() < 0.3
    yield visit.event("page.view", at + 5, path=f"/watch/{video.id}" if on_video else "/")
    yield request("/videos", at + lag + 30)
    at += lag + 60
    if signs_up:
        at += 6_000 + int(rng.expovariate(1 / 15_000))
        yield visit.event("page.view", at, path="/signup")
        at += 9_000 + int(rng.expovariate(1 / 20_000))
        yield visit.event("user.signup", at, source=person.source)
        yield request("/users", at + lag + 20, "POST")
        at += lag + 60
    elif rng.random() < _BOUNCED:
        at += 1_000 + min(7_500, int(rng.expovariate(1 / 3_000)))
        if rng.random() >= _LEFT_SILENTLY:
            yield visit.event("session.end", at)
        return
    for number in range(_MOST_VIEWS):
        if number or not on_video:
            at += 2_500 + int(rng.expovariate(1 / 14_000))
            if rng.random() < _SEARCHED:
                yield visit.event("page.view", at, path="/search")
                yield request("/search", at + lag + 25)
                at += lag + 3_000 + int(rng.expovariate(1 / 8_000))
            elif rng.random() < _WENT_HOME:
                yield visit.event("page.view", at, path="/")
                at += lag + 2_000 + int(rng.expovariate(1 / 6_000))
            video = world.library.pick(rng, at)
            yield visit.event("page.view", at, path=f"/watch/{video.id}")
            yield request("/videos", at + lag + 25)
            at += lag + 40
        at += 250 + int(rng.expovariate(1 / 900))
        view = _view(world, visit, video, at)
        yield from _watch(world, visit, view)
        at = view.clock + lag + 50
        if rng.random() >= _ANOTHER:
            break
    if rng.random() >= _LEFT_SILENTLY:
        yield visit.event("session.end", at + 500 + int(rng.expovariate(1 / 6_000)))


def _view(world: World, visit: Visit, video: Video, at_ms: int) -> View:
    troubled = world.incidents.now("delivery", at_ms)
    return View(
        world.rng,
        world.ids.view(),
        video,
        visit.who,
        at_ms,
        network=visit.person.network * (0.3 if troubled else 1.0),
        delay_ms=visit.delay_ms,
        text_time=visit.text_time,
    )


def _watch(world: World, visit: Visit, view: View) -> Actor:
    """Yield a view, with the viewer's likes, comments and shares, and the storage reads it causes."""
    rng = world.rng
    actions = []
    for kind, chance, needs_account in _ACTIONS:
        if rng.random() < chance and (visit.person.signed_in or not needs_account):
            # At a random point of a typical stay for this length; if the view ends earlier, nothing happens.
            wait = 3_000 + int(0.8 * rng.random() * stay(rng, view.video.duration_ms))
            actions.append((view.clock + wait, kind))
    actions.sort()
    world.playing += 1
    try:
        for event in view.events():
            while actions and actions[0][0] + visit.delay_ms <= event[2]:
                at, kind = actions.pop(0)
                yield visit.event(kind, at, videoId=view.video.id)
                if kind == "video.comment":
                    yield world.operations.request("/comments", at + visit.delay_ms, "POST")
            yield event
    finally:
        world.playing -= 1
    if view.watched and rng.random() < 0.4:
        # Bytes read from storage, because the caches at the edge did not have them.
        size = int(view.watched / 1000 * 220_000 * rng.uniform(0.1, 1.0))
        yield world.operations.storage("read", size, view.clock + visit.delay_ms + 5)
