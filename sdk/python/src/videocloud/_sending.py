"""Sending requests: the key, time-outs, retries, and httpx2's errors as errors of this library."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final, TypeVar

import httpx2

from videocloud import _answers, _retry
from videocloud._calls import Call
from videocloud._io import AsyncIO, SyncIO
from videocloud.errors import APIConnectionError, APIError, APITimeoutError
from videocloud.models.base import Model

M = TypeVar("M", bound=Model)

VERSION: Final = version("videocloud")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a client's requests. `timeout` is httpx2's: for connecting, and for each read."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout: httpx2.Timeout
    max_retries: int


class Sender:
    """Sends all requests to the API."""

    def __init__(self, io: SyncIO | AsyncIO, options: Options) -> None:
        """Take the I/O and the options of requests."""
        self.io = io
        self.options = options

    async def ask(self, call: Call, model: type[M]) -> M:
        """Return the data of a response."""
        return _answers.read(await self.send(call, whole=True), call, model)

    async def ask_plainly(self, call: Call, model: type[M], also: int = 200) -> M:
        """Return a response without an envelope; `also` is a further status that counts as success."""
        return _answers.plain(await self.send(call, whole=True, also=also), call, model)

    async def send(
        self, call: Call, *, whole: bool = False, timeout: httpx2.Timeout | None = None, also: int = 200
    ) -> httpx2.Response:
        """Return a response: if `whole`, with its body, else the caller must read and end the body.

        Transient errors are retried. Raises APIStatusError for an error response, and APIConnectionError
        when no response arrives.
        """
        attempt = 0
        while True:
            try:
                return await self._once(call, whole, timeout, also)
            except APIError as error:
                pause = self.pause(error, attempt)
                if pause is None:
                    raise
            await self.io.sleep(pause)
            attempt += 1

    def pause(self, error: APIError, attempt: int) -> float | None:
        """Return the seconds before the next retry, None to give up."""
        return _retry.wait(error, attempt, self.options.max_retries, random.random())

    def lost(self, call: Call, error: httpx2.RequestError) -> APIConnectionError:
        """Return a transport error of httpx2 as an error of this library."""
        if isinstance(error, httpx2.PoolTimeout):
            return APITimeoutError(
                f"{call} waited in vain for a connection: all that http_client may have are in use, one by "
                "each live stream. Close streams, or raise its limits."
            )
        if isinstance(error, httpx2.TimeoutException):
            limit = self.options.timeout
            seconds = limit.connect if isinstance(error, httpx2.ConnectTimeout) else limit.read
            within = "" if seconds is None else f" within {seconds:g} s"
            return APITimeoutError(f"{call} got no response{within}: increase timeout=.")
        where = call.path.partition("?")[0] if call.elsewhere else self.options.base_url
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx2.ConnectError):
            return APIConnectionError(
                f"Nothing answers at {where} ({reason}): check base_url or VIDEOCLOUD_BASE_URL."
            )
        return APIConnectionError(f"The connection to {where} was lost during {call} ({reason}).")

    async def _once(
        self, call: Call, whole: bool, timeout: httpx2.Timeout | None, also: int
    ) -> httpx2.Response:
        request = self._request(call, timeout)
        try:
            response = await self.io.send(request, redirects=call.elsewhere)
            good = response.is_success or response.status_code == also
            if whole or not good:
                try:
                    await self.io.read(response)
                finally:
                    await self.io.end(response)
        except httpx2.RequestError as error:
            raise self.lost(call, error) from error
        if good:
            return response
        raise _answers.refusal(response, call, keyed=self.options.api_key is not None)

    def _request(self, call: Call, timeout: httpx2.Timeout | None) -> httpx2.Request:
        headers = {"User-Agent": f"videocloud-python/{VERSION}", "Accept": "application/json", **call.headers}
        if self.options.api_key is not None and not call.elsewhere:
            headers["Authorization"] = f"Bearer {self.options.api_key}"
        return self.io.http.build_request(
            call.method,
            call.path if call.elsewhere else self.options.base_url + call.path,
            params=dict(call.params) or None,
            json=call.json,
            headers=headers,
            timeout=timeout or self.options.timeout,
        )
