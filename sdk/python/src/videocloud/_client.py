"""The two clients: one definition, over two ways to the world."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import httpx2

from videocloud._calls import Call
from videocloud._io import AsyncIO, SyncIO
from videocloud._operation import R, Resource, operation
from videocloud._sending import Options, Sender
from videocloud.analytics import Analytics
from videocloud.events.resource import Events
from videocloud.events.sender import EventSender, Topics
from videocloud.models import Health

H = TypeVar("H", httpx2.Client, httpx2.AsyncClient)

#: Where `make up` serves the API.
LOCAL: Final = "http://127.0.0.1:8000"
TIMEOUT: Final = 30.0
MAX_RETRIES: Final = 2


class _Client(Resource[R], Generic[R, H]):
    """What both clients are."""

    analytics: Analytics[R]
    events: Events[R]

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout: float | httpx2.Timeout = TIMEOUT,
        max_retries: int = MAX_RETRIES,
        http_client: H | None = None,
        kafka: str | None = None,
        kafka_config: Mapping[str, Any] | None = None,
        topics: Topics | None = None,
        event_sender: EventSender | None = None,
    ) -> None:
        """Make a client; nothing is connected yet.

        Args:
            api_key: The API's key, else `VIDEOCLOUD_API_KEY`. An API that is open needs none.
            base_url: The API's address, else `VIDEOCLOUD_BASE_URL`, else that of `make up` on this machine.
            timeout: Seconds for connecting and for each read, or an `httpx2.Timeout`.
            max_retries: How often a request is tried again: after 0.5 to 8 seconds, or those of
                `Retry-After`, when the connection fails and on 408, 409, 429 and 5xx.
            http_client: A client of httpx2 with proxies, certificates or limits of your own; it is closed
                with this one.
            kafka: Bootstrap servers for sending events, else `KAFKA_BOOTSTRAP_SERVERS`.
            kafka_config: More settings of librdkafka, such as `security.protocol` and `sasl.username`.
            topics: Names of the topics, where they are not the usual ones.
            event_sender: Takes events in the place of Kafka, such as a `MemorySender` in tests.
        """
        url = base_url or os.environ.get("VIDEOCLOUD_BASE_URL") or LOCAL
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://, {url!r} does not")
        super().__init__(self._open(http_client))
        self._origin: Self | None = None
        self._ask(
            Options(
                base_url=url.rstrip("/"),
                api_key=api_key or os.environ.get("VIDEOCLOUD_API_KEY") or None,
                timeout=httpx2.Timeout(timeout),
                max_retries=max_retries,
            )
        )
        self.events = Events(
            self._io,
            event_sender,
            bootstrap_servers=kafka,
            config=kafka_config,
            topics=topics or Topics(),
        )

    @staticmethod
    def _open(http: H | None) -> R:
        raise NotImplementedError

    def _ask(self, options: Options) -> None:
        self._sender = Sender(self._io, options)
        self.analytics = Analytics(self._io, self._sender)

    def __repr__(self) -> str:
        """Tell the address, and no key."""
        return f"{type(self).__name__}(base_url={self._sender.options.base_url!r})"

    def with_options(
        self, *, timeout: float | httpx2.Timeout | None = None, max_retries: int | None = None
    ) -> Self:
        """Return a client with other options that shares the connections: `close` only the first one."""
        options = self._sender.options
        if timeout is not None:
            options = replace(options, timeout=httpx2.Timeout(timeout))
        if max_retries is not None:
            options = replace(options, max_retries=max_retries)
        other = copy.copy(self)
        other._origin = self
        other._ask(options)
        return other

    @operation
    async def get_health(self) -> Health:
        """Whether the API lives; it says nothing about its stores."""
        return await self._sender.ask_plainly(Call("GET", "/healthz"), Health)

    @operation
    async def get_readiness(self) -> Health:
        """Whether the API can answer: `unavailable` when no store does, `degraded` when one does not."""
        return await self._sender.ask_plainly(Call("GET", "/readyz"), Health, also=503)

    @operation
    async def close(self) -> None:
        """Deliver the events that wait, and close all connections.

        Raises DeliveryError when Kafka did not take all of them.
        """
        await self._close()

    async def _close(self) -> None:
        if self._origin is not None:
            return
        try:
            await self.events._close()
        finally:
            await self._io.close()


class VideoCloud(_Client[SyncIO, httpx2.Client]):
    """Asks the API of VideoCloud Analytics, and sends events; every method blocks until it is done.

    ```python
    with VideoCloud() as client:
        print(client.analytics.get_videos_summary(period="7d").total_views)
    ```

    One client serves all threads.
    """

    @staticmethod
    def _open(http: httpx2.Client | None) -> SyncIO:
        return SyncIO(http)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()


class AsyncVideoCloud(_Client[AsyncIO, httpx2.AsyncClient]):
    """The same with `await`.

    ```python
    async with AsyncVideoCloud() as client:
        print((await client.analytics.get_videos_summary(period="7d")).total_views)
    ```
    """

    @staticmethod
    def _open(http: httpx2.AsyncClient | None) -> AsyncIO:
        return AsyncIO(http or httpx2.AsyncClient())

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()
