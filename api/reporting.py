"""The API reports its own requests: `api.request` events to Kafka, as every service does.

Answers never wait for it. Events wait in a bounded buffer, and a background task sends them. While Kafka is
away the buffer fills up, and further events are dropped and counted in
`videocloud_api_reports_dropped_total`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from uuid import uuid4

import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import REPORTS_DROPPED
from api.tasks import stop
from api.telemetry import PROBE_PATHS, is_long, named
from sinks.kafka.reasons import line, quieten

_log = structlog.get_logger(__name__)

SERVICE: Final = "analytics-api"
#: Events in the buffer, at most: a minute of a busy process, a few megabytes.
MAX_WAITING: Final = 10_000
_PAUSE_SECONDS: Final = 0.5
_BATCH: Final = 500
_RETRY_SECONDS: Final = (1.0, 30.0)
_CLOSE_SECONDS: Final = 2.0


class Reporter:
    """Sends reported requests to one topic, in the background of `open`."""

    def __init__(self, access: Mapping[str, Any], topic: str) -> None:
        """Connect nothing yet: Kafka may be away, now and later. `access` is that of `KafkaAccess.kafka`."""
        self._access = access
        self._topic = topic
        self._waiting: deque[bytes] = deque()
        #: Whether Kafka failed after it last took an event.
        self._away = False

    def report(self, endpoint: str, method: str, status: int, seconds: float, at: float) -> None:
        """Report a request that ended at `at` (epoch seconds); it never waits and never fails."""
        if len(self._waiting) >= MAX_WAITING:
            REPORTS_DROPPED.inc()
            return
        event = {
            "eventId": uuid4().hex,
            "type": "api.request",
            "occurredAt": int(at * 1000),
            "service": SERVICE,
            "endpoint": endpoint,
            "method": method,
            "status": status,
            "durationMs": round(seconds * 1000, 3),
        }
        self._waiting.append(orjson.dumps(event))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Send in the background; at the end, send the buffer if that takes only a moment."""
        sending = asyncio.create_task(self._run())
        try:
            yield
        finally:
            await stop(sending)

    async def _run(self) -> None:
        # Silence aiokafka's repeated messages; this class logs an outage once.
        quieten()
        shortest, longest = _RETRY_SECONDS
        pause = shortest
        task = asyncio.current_task()
        # A client library may swallow a cancellation, or turn it into an error of its own.
        while task is None or not task.cancelling():
            try:
                await self._connected()
            except (KafkaError, OSError, TimeoutError) as error:
                if not self._away:
                    _log.warning("requests cannot be reported to Kafka; retrying", reason=line(error))
                    pause = shortest
                self._away = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _connected(self) -> None:
        """Send until Kafka fails."""
        producer = AIOKafkaProducer(**self._access, acks=1, client_id=SERVICE, request_timeout_ms=10_000)
        try:
            await producer.start()
            # A client starts without any right on the topic; this fails without one.
            await producer.partitions_for(self._topic)
            while True:
                await asyncio.sleep(_PAUSE_SECONDS)
                await self._flush(producer)
        except asyncio.CancelledError:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(self._flush(producer), _CLOSE_SECONDS)
            raise
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)

    async def _flush(self, producer: Any) -> None:
        """Send the buffer; a failed batch is dropped, because it may have arrived."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            sent = 0
            try:
                pending = [await self._send(producer, each) for each in batch]
                for each in pending:
                    await each
                    sent += 1
            finally:
                REPORTS_DROPPED.inc(len(batch) - sent)
            if self._away:
                # Not as soon as there is a connection: without the right to write there is one, too.
                self._away = False
                _log.info("requests are reported to Kafka again")

    async def _send(self, producer: Any, event: bytes) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await producer.send(self._topic, event, key=SERVICE.encode())
        # After the first error nobody awaits the others, and asyncio would log each of them.
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        return sent


class Reporting:
    """ASGI middleware: reports every request to the application's `state.reporter`.

    A stream of events, or a file, counts as answered when it begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in PROBE_PATHS:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, answered = 500, 0.0

        async def sending(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                if is_long(message):
                    answered = time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            reporter: Reporter | None = scope["app"].state.reporter
            if reporter is not None:
                seconds = (answered or time.perf_counter()) - began
                reporter.report(*named(scope), status, seconds, time.time())
