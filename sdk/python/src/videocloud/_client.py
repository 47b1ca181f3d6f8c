"""The two clients: one definition, over synchronous and asynchronous I/O."""

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
    """The parts that both clients share."""

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
        """Create a client; it opens no connection yet.

        Args:
            api_key: The API key, else `VIDEOCLOUD_API_KEY`. An API without keys needs none.
            base_url: The API's URL, else `VIDEOCLOUD_BASE_URL`, else that of `make up` on this machine.
            timeout: Seconds for connecting and for each read, or an `httpx2.Timeout`.
            max_retries: Maximum number of retries when the connection fails and on 408, 409, 429 and 5xx:
                after 0.5 to 8 seconds, or as many as `Retry-After` says, up to a minute.
            http_client: An httpx2 client with your own proxies, certificates or limits; it is closed with
                this client.
            kafka: Bootstrap servers for sending events, else `KAFKA_BOOTSTRAP_SERVERS`.
            kafka_config: Further librdkafka settings, such as `security.protocol` and `sasl.username`.
            topics: Names of the topics, if they differ from the defaults.
            event_sender: Receives events instead of Kafka, such as a `MemorySender` in tests.
        """
        url = base_url or os.environ.get("VIDEOCLOUD_BASE_URL") or LOCAL
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must start with http:// or https://, not {url!r}")
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
        """Show the URL, but not the key."""
        return f"{type(self).__name__}(base_url={self._sender.options.base_url!r})"

    def with_options(
        self, *, timeout: float | httpx2.Timeout | None = None, max_retries: int | None = None
    ) -> Self:
        """Return a client with other options that shares the connections: `close` only the original."""
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
        """Whether the API's process is alive, whatever the state of its stores."""
        return await self._sender.ask_plainly(Call("GET", "/healthz"), Health)

    @operation
    async def get_readiness(self) -> Health:
        """Whether the API can answer: `degraded` if one store is unavailable, `unavailable` if all are."""
        return await self._sender.ask_plainly(Call("GET", "/readyz"), Health, also=503)

    @operation
    async def close(self) -> None:
        """Deliver the queued events, and close all connections.

        Raises DeliveryError when Kafka did not accept all of them.
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
    """The synchronous client: queries the API and sends events; every method blocks until it is done.

    ```python
    with VideoCloud() as client:
        print(client.analytics.get_videos_summary(period="7d").total_views)
    ```

    One client can be shared by all threads.
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
    """The asynchronous client: the same methods with `await`.

    ```python
    async with AsyncVideoCloud() as client:
        print((await client.analytics.get_videos_summary(period="7d")).total_views)
    ```
    """

    @staticmethod
    def _open(http: httpx2.AsyncClient | None) -> AsyncIO:
        return AsyncIO(http)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()
