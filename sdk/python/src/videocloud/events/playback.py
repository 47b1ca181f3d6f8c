"""A view (one playback of one video by one viewer), reported as it happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from videocloud.errors import InvalidEventError
from videocloud.events.ids import new_id, now_ms
from videocloud.events.model import built
from videocloud.events.types import Playback, ViewAttempt, ViewEnd, ViewError, ViewProgress, ViewStart
from videocloud.types import Device, Platform

E = TypeVar("E", bound=Playback)


class PlaybackSession:
    """Reports a view, and keeps the state that its events carry: `seq`, start time and totals.

    Report what happened since the last event, in milliseconds; the session adds up the totals. Each method
    sends an event and returns it. Not thread-safe: the events of a view have one order.

    As a context manager, the session ends the view with reason `exited` unless it has already ended.
    """

    def __init__(
        self,
        send: Callable[[Playback], object],
        video_id: str,
        *,
        session_id: str,
        user_id: str | None = None,
        viewer_id: str | None = None,
        country: str | None = None,
        device: Device | None = None,
        platform: Platform | None = None,
        view_id: str | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """Create a session; nothing is sent yet. `clock` returns epoch milliseconds."""
        self.view_id = view_id or new_id()
        self._send = send
        self._clock = clock
        self._who: dict[str, Any] = {
            "video_id": video_id,
            "view_id": self.view_id,
            "session_id": session_id,
            "user_id": user_id,
            "viewer_id": viewer_id,
            "country": country,
            "device": device,
            "platform": platform,
        }
        self._seq = 0
        self._started_at: int | None = None
        self._ended = False
        self._watched = self._rebuffered = self._stalls = 0
        #: Milliseconds into the content at which playback continues.
        self._position = 0

    @property
    def watched_ms(self) -> int:
        """Return the milliseconds watched so far."""
        return self._watched

    @property
    def ended(self) -> bool:
        """Return whether the view is over."""
        return self._ended

    def attempt(self, *, occurred_at: int | datetime | None = None) -> ViewAttempt:
        """Play was requested. Optional: `start` implies it."""
        if self._seq:
            raise InvalidEventError("attempt() must come first: this view has already begun.")
        return self._tell(ViewAttempt, occurred_at)

    def start(
        self,
        *,
        startup_ms: int,
        duration_ms: int | None = None,
        position_ms: int = 0,
        occurred_at: int | datetime | None = None,
    ) -> ViewStart:
        """The first frame was shown, `startup_ms` after the request, at `position_ms` of the content.

        `duration_ms` is the length of the content; it takes precedence over the catalog's.
        """
        if self._started_at is not None:
            raise InvalidEventError("This view has already started: create a new session for a new playback.")
        event = self._tell(ViewStart, occurred_at, startup_ms=startup_ms, duration_ms=duration_ms)
        self._started_at = int(event.occurred_at)  # type: ignore[arg-type]
        self._position = position_ms
        return event

    def progress(
        self,
        *,
        watched_ms: int = 0,
        rebuffer_ms: int = 0,
        rebuffer_count: int = 0,
        bitrate_kbps: int | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        occurred_at: int | datetime | None = None,
    ) -> ViewProgress:
        """Report viewing and playback quality since the last event: at least every 10 seconds.

        Call it also at pause and change of quality, and before `seek`. The stretch of content played starts
        where the last one ended and is `watched_ms` long, unless `from_ms` and `to_ms` are given (as for
        double speed).
        """
        if self._started_at is None:
            raise InvalidEventError("The view has not started: call start() before progress().")
        totals = self._totals(watched_ms, rebuffer_ms, rebuffer_count, bitrate_kbps, from_ms, to_ms)
        event = self._tell(ViewProgress, occurred_at, started_at=self._started_at, **totals)
        self._keep(event)
        return event

    def seek(self, position_ms: int) -> None:
        """Playback continues at another position. Sends nothing: call `progress` before."""
        self._position = position_ms

    def error(self, code: str, *, fatal: bool, occurred_at: int | datetime | None = None) -> ViewError:
        """A playback error; a fatal one ends the view."""
        event = self._tell(ViewError, occurred_at, code=code, fatal=fatal, started_at=self._started_at)
        self._ended = fatal
        return event

    def end(
        self,
        reason: Literal["ended", "exited"],
        *,
        watched_ms: int = 0,
        rebuffer_ms: int = 0,
        rebuffer_count: int = 0,
        bitrate_kbps: int | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        occurred_at: int | datetime | None = None,
    ) -> ViewEnd:
        """The content finished (`ended`) or the viewer left (`exited`); the rest as in `progress`."""
        totals = self._totals(watched_ms, rebuffer_ms, rebuffer_count, bitrate_kbps, from_ms, to_ms)
        event = self._tell(ViewEnd, occurred_at, reason=reason, started_at=self._started_at, **totals)
        self._keep(event)
        self._ended = True
        return event

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the view, if it began and nothing ended it."""
        if self._seq and not self._ended:
            self.end("exited")

    def _totals(
        self,
        watched: int,
        rebuffered: int,
        stalls: int,
        bitrate: int | None,
        begin: int | None,
        end: int | None,
    ) -> dict[str, Any]:
        for name, value in (
            ("watched_ms", watched),
            ("rebuffer_ms", rebuffered),
            ("rebuffer_count", stalls),
        ):
            if value < 0:
                raise InvalidEventError(f"{name} is the amount since the last event: it cannot be {value}.")
        totals: dict[str, Any] = {
            "watched_ms": self._watched + watched,
            "rebuffer_ms": self._rebuffered + rebuffered,
            "rebuffer_count": self._stalls + stalls,
            "bitrate_kbps": bitrate,
        }
        if watched or begin is not None or end is not None:
            begin = self._position if begin is None else begin
            totals |= {"from_ms": begin, "to_ms": begin + watched if end is None else end}
        return totals

    def _keep(self, event: ViewProgress | ViewEnd) -> None:
        self._watched, self._rebuffered, self._stalls = (
            event.watched_ms,
            event.rebuffer_ms,
            event.rebuffer_count,
        )
        self._position = self._position if event.to_ms is None else event.to_ms

    def _tell(self, kind: type[E], at: int | datetime | None, **own: Any) -> E:
        if self._ended:
            raise InvalidEventError("This view is over: create a new session for a new playback.")
        occurred = self._clock() if at is None else at
        event = built(kind, seq=self._seq, occurred_at=occurred, **self._who, **own)
        self._send(event)
        self._seq += 1
        return event
