"""`client.events`: creates, validates and sends events."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, overload

from videocloud._operation import R, Resource, operation
from videocloud.errors import EventError
from videocloud.events import types
from videocloud.events.kafka import KafkaSender
from videocloud.events.model import Outgoing, built
from videocloud.events.playback import PlaybackSession
from videocloud.events.sender import EventSender, Record, Topics
from videocloud.types import Device, Platform

P = ParamSpec("P")
E = TypeVar("E", bound=Outgoing)

#: Seconds that closing waits for Kafka.
FLUSH: Final = 10.0


class _Sends(Generic[P, E]):
    """A method with the parameters of an event's class, which sends the event and returns it."""

    def __init__(self, kind: Callable[P, E]) -> None:
        self.kind = kind
        self.__doc__ = kind.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: Events[Any], owner: type) -> Callable[P, E]: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> E:
            event = built(self.kind, *args, **kwargs)
            instance.send(event)
            return event

        return update_wrapper(send, self.kind, updated=())


class Events(Resource[R]):
    """Sends events to Kafka.

    Sending puts an event into a queue and never waits for the network, on both clients; `flush`, and
    closing the client, wait until all events are delivered and raise DeliveryError for those that are not.
    An invalid event raises InvalidEventError before anything is sent.

    Ids and times that you omit are generated: UUIDs of version 7, and the current time. An event sent again
    with the same id counts once.
    """

    def __init__(
        self,
        io: R,
        sender: EventSender | None = None,
        *,
        bootstrap_servers: str | None = None,
        config: Mapping[str, Any] | None = None,
        topics: Topics | None = None,
    ) -> None:
        """Take the destination; the first event connects to Kafka."""
        super().__init__(io)
        self._sender = sender
        self._bootstrap = bootstrap_servers or os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        self._config = config
        self._topics = topics or Topics()
        self._lock = threading.Lock()

    view_attempt = _Sends(types.ViewAttempt)
    view_start = _Sends(types.ViewStart)
    view_progress = _Sends(types.ViewProgress)
    view_error = _Sends(types.ViewError)
    view_end = _Sends(types.ViewEnd)
    user_signup = _Sends(types.UserSignup)
    session_start = _Sends(types.SessionStart)
    page_view = _Sends(types.PageView)
    session_end = _Sends(types.SessionEnd)
    video_upload = _Sends(types.VideoUpload)
    video_like = _Sends(types.VideoLike)
    video_comment = _Sends(types.VideoComment)
    video_share = _Sends(types.VideoShare)
    api_request = _Sends(types.ApiRequest)
    job = _Sends(types.Job)
    storage_op = _Sends(types.StorageOp)
    host_sample = _Sends(types.HostSample)
    health_probe = _Sends(types.HealthProbe)
    catalog_entry = _Sends(types.CatalogEntry)

    def playback(
        self,
        video_id: str,
        *,
        session_id: str,
        user_id: str | None = None,
        viewer_id: str | None = None,
        country: str | None = None,
        device: Device | None = None,
        platform: Platform | None = None,
        view_id: str | None = None,
    ) -> PlaybackSession:
        """Return a session that reports a view, and keeps `seq`, `started_at` and the totals for you."""
        return PlaybackSession(
            self.send,
            video_id,
            session_id=session_id,
            user_id=user_id,
            viewer_id=viewer_id,
            country=country,
            device=device,
            platform=platform,
            view_id=view_id,
        )

    def send(self, event: Outgoing) -> None:
        """Send an event that was created from its class in `videocloud.events`.

        Raises DeliveryError when the queue is full: `VideoCloud` first waits ten seconds for room,
        `AsyncVideoCloud` does not wait.
        """
        self._ready().send(Record.of(event, self._topics))

    def delete_video(self, video_id: str) -> None:
        """Remove a video from the catalog."""
        self._ready().send(Record(self._topics.catalog, video_id, None))

    @operation
    async def flush(self, timeout: float = FLUSH) -> None:
        """Wait until all events sent so far are delivered.

        Raises DeliveryError for events that Kafka refused since the last flush, and for events that are
        still queued after `timeout` seconds.
        """
        if self._sender is not None:
            await self._io.run(partial(self._sender.flush, timeout))

    async def _close(self) -> None:
        if self._sender is not None:
            await self._io.run(partial(self._sender.close, FLUSH))

    def _ready(self) -> EventSender:
        with self._lock:
            if self._sender is None:
                if not self._bootstrap:
                    raise EventError("No Kafka servers: pass kafka= or set KAFKA_BOOTSTRAP_SERVERS.")
                patience = 10.0 if self._io.blocking else 0.0
                self._sender = KafkaSender(self._bootstrap, self._config, patience=patience)
            return self._sender
