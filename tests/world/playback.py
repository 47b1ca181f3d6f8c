"""Views: the events that a player emits, in true time; `delivery` distorts them later."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from tests.world.catalog import Video
from tests.world.delivery import SECOND

COUNTRIES = ("US", "GB", "UK", "gb", "de", "IN", "xx", "", "usa", "1A", "ß", "ﬁ", None)
DEVICES = ("desktop", "mobile", "tablet", "tv", "other", "fridge", "unknown", "Desktop", None)
PLATFORMS = ("web", "ios", "android", "tv", "other", "symbian", "", None)
BITRATES = (None, 0, 235, 1750, 2500, 5800)

#: (when it happened, the event). `startedAt` is in true time.
Timed = tuple[int, dict[str, Any]]


class Player:
    """One playback: counts its events and its totals."""

    def __init__(self, rng: Random, view: str, video: Video, user: str, at: int) -> None:
        """Open the player at `at` (epoch milliseconds)."""
        self.rng = rng
        self.video = video
        self.at = at
        self.seq = 0 if rng.random() < 0.95 else rng.choice((1, 7, 2**31 - 200))
        self.started_at: int | None = None
        self.watched = self.stalled = self.stalls = self.position = 0
        signed_in = rng.random() < 0.6
        self.audience: dict[str, Any] = {
            "videoId": video.id,
            "viewId": view,
            "sessionId": f"session-{user}-{at // 3_600_000}",
            "userId" if signed_in else "viewerId": user,
            "country": rng.choice(COUNTRIES),
            "device": rng.choice(DEVICES),
            "platform": rng.choice(PLATFORMS),
        }

    def tell(self, kind: str, **fields: Any) -> Timed:
        """Emit an event."""
        event = {"eventId": f"{self.audience['viewId']}-{self.seq}"[:64], "type": kind, "seq": self.seq}
        self.seq += 1
        return self.at, event | self.audience | fields

    def start(self) -> Timed:
        """Show the first frame."""
        waited = self.rng.choice((0, 1, 180, 2400))
        self.at += waited
        self.started_at = self.at
        length = self.rng.choice((None, None, self.video.length, self.video.length + 500, 0))
        return self.tell("view.start", startupMs=waited, durationMs=length)

    def play(self, longest: int) -> None:
        """Watch for a while; sometimes stall, sometimes seek."""
        rng = self.rng
        stretch = rng.randrange(longest + 1)
        self.at += stretch
        self.watched += stretch
        self._from = self.position
        self.position += stretch
        if rng.random() < 0.2:
            stall = rng.randrange(5 * SECOND)
            self.at += stall
            self.stalled += stall
            self.stalls += 1

    def totals(self) -> dict[str, Any]:
        """Return the fields of a heartbeat; the stretch played is sometimes odd or missing."""
        rng = self.rng
        fields: dict[str, Any] = {
            "watchedMs": self.watched,
            "rebufferMs": self.stalled,
            "rebufferCount": self.stalls,
            "bitrateKbps": rng.choice(BITRATES),
            "startedAt": self.started_at,
        }
        odd = rng.random()
        if odd < 0.8:
            fields |= {"fromMs": self._from, "toMs": self.position}
        elif odd < 0.85:
            fields |= {"fromMs": self.position, "toMs": self._from}
        elif odd < 0.9:
            fields |= {"toMs": self.position}
        elif odd < 0.95:
            fields |= {"fromMs": self._from, "toMs": self.position + 10 * self.video.length % 2**29}
        return fields

    def seek(self) -> None:
        """Jump somewhere else, often near the end."""
        length = self.video.length
        self.position = self.rng.choice(
            (0, self.rng.randrange(length + 1), length * 94 // 100, length * 95 // 100)
        )


def view(rng: Random, name: str, video: Video, user: str, at: int) -> Iterator[Timed]:
    """Yield the events of one view in the order they happen."""
    player = Player(rng, name, video, user, at)
    if rng.random() < 0.9:
        yield player.tell("view.attempt")
    fate = rng.random()
    if fate < 0.06:
        # The view failed before the first frame, or the viewer left.
        player.at += rng.randrange(8 * SECOND)
        if rng.random() < 0.7:
            yield player.tell("view.error", code="manifest\u0000404", fatal=True)
        yield player.tell("view.end", reason="exited", watchedMs=0, rebufferMs=0, rebufferCount=0)
        return
    if fate > 0.04 or rng.random() < 0.5:
        yield player.start()
    else:
        player.started_at = player.at

    longest = rng.choice((4 * SECOND, 10 * SECOND, 10 * SECOND, max(1, video.length // 3)))
    for _ in range(rng.choice((0, 1, 2, 5, 12, 12, 30, 90))):
        player.play(longest)
        yield player.tell("view.progress", **player.totals())
        if rng.random() < 0.1:
            player.seek()
        if rng.random() < 0.04:
            yield player.tell(
                "view.error", code="segment", fatal=rng.random() < 0.4, startedAt=player.started_at
            )
        if rng.random() < 0.02:
            # The player loses its totals, and the viewer signs in.
            player.watched = player.stalled = player.stalls = 0
        if rng.random() < 0.02:
            player.audience |= {"userId": f"{user}-signed-in", "device": rng.choice(DEVICES)}
    if rng.random() < 0.8:
        player.play(longest)
        _, ended = player.tell(
            "view.end", reason=rng.choice(("ended", "exited", "exited")), **player.totals()
        )
        if rng.random() < 0.1:
            del ended["startedAt"]
        yield player.at, ended
    if rng.random() < 0.03:
        # A second first frame, as after a reload of the player: it changes nothing.
        yield player.tell("view.start", startupMs=0)
