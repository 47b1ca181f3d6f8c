"""The host agent: reports this host's resource usage and the API's readiness as system events.

Every ten seconds it sends one `host.sample`, and one `health.probe` when it knows the API's address. What
Kafka does not take is lost: the next sample comes soon.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import sys
import time
import urllib.error
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import uuid4

import orjson
import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.direct import DIRECT
from sinks.kafka.reasons import line, quieten

SAMPLER, PROBED = "host-agent", "analytics-api"
_PROBE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What to sample and where to send it. `api_url` is None when nothing is probed; seconds are `every`.

    `access` is that of `KafkaAccess.kafka`.
    """

    access: Mapping[str, Any]
    topic: str
    api_url: str | None
    folder: str
    every: float
    name: str | None = None


def sample(folder: str, now: float, name: str | None = None) -> dict[str, Any]:
    """Return a `host.sample`; storage is that of the disk which holds a folder.

    `name` is the host's, where the system says another one, as in a container. `cpu` is that since the last
    call, and 0 at the first. `now` is in epoch seconds.
    """
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(folder)
    return _event("host.sample", SAMPLER, now) | {
        "host": (name or socket.gethostname())[:128] or "localhost",
        "cpu": min(1.0, psutil.cpu_percent(None) / 100),
        "load": list(psutil.getloadavg()),
        "memoryUsedBytes": memory.total - memory.available,
        "memoryTotalBytes": memory.total,
        "storageUsedBytes": disk.used,
        "storageTotalBytes": disk.total,
    }


def probe(api_url: str, now: float) -> dict[str, Any]:
    """Return a `health.probe` of the API, which is ok when the API reports that it is ready."""
    ok = False
    with (
        suppress(OSError, urllib.error.URLError, http.client.HTTPException),
        DIRECT.open(f"{api_url.rstrip('/')}/readyz", timeout=_PROBE_SECONDS) as answer,
    ):
        ok = answer.status == 200
    return _event("health.probe", PROBED, now) | {"ok": ok}


def _event(kind: str, service: str, now: float) -> dict[str, Any]:
    return {"eventId": uuid4().hex, "type": kind, "occurredAt": int(now * 1000), "service": service}


def serve(options: Options) -> NoReturn:
    """Sample and send until SIGTERM or Ctrl-C, then end the process with exit code 0."""
    asyncio.new_event_loop().run_until_complete(_until_told(options))
    # Exit at once: a thread that resolves a name or waits for a response cannot be ended, and Python would
    # wait for it.
    os._exit(0)


async def _until_told(options: Options) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    told, work = asyncio.create_task(ending.wait()), asyncio.create_task(_work(options))
    await asyncio.wait({told, work}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    work.cancel()
    await asyncio.wait({work}, timeout=_CLOSE_SECONDS)


async def _work(options: Options) -> None:
    """Sample and send forever; reconnect when Kafka was unreachable."""
    # aiokafka logs the same problem repeatedly; here it is logged once.
    quieten()
    psutil.cpu_percent(None)
    said = False
    while True:
        producer = AIOKafkaProducer(**options.access, acks=1, client_id=SAMPLER)
        try:
            await producer.start()
            said = False
            while True:
                await asyncio.sleep(options.every)
                for event in await asyncio.to_thread(_events, options):
                    await producer.send_and_wait(
                        options.topic, orjson.dumps(event), key=event["service"].encode()
                    )
        except (KafkaError, OSError, TimeoutError) as error:
            if not said:
                where = options.access["bootstrap_servers"]
                with suppress(OSError):  # of a full disk, which must not end the agent
                    sys.stderr.write(f"Kafka at {where} takes no events, trying again: {line(error)}\n")
                    sys.stderr.flush()
            said = True
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)


def _events(options: Options) -> list[dict[str, Any]]:
    events = [sample(options.folder, time.time(), options.name)]
    if options.api_url:
        events.append(probe(options.api_url, time.time()))
    return events
