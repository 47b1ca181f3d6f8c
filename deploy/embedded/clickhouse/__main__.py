"""Run the stand-in ClickHouse: `python -m deploy.embedded.clickhouse --path DIR --port N`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

# ClickHouse's images run in UTC; the time zone must be set before the engine starts.
os.environ["TZ"] = "UTC"
time.tzset()

from aiohttp import web  # noqa: E402

from deploy.embedded.clickhouse.engine import Engine, Limits  # noqa: E402
from deploy.embedded.clickhouse.errors import EngineError  # noqa: E402
from deploy.embedded.clickhouse.front import Front, create_app  # noqa: E402

_GRACE_SECONDS = 3.0
_STOP_SECONDS = 8.0


def _arguments() -> argparse.Namespace:
    limits = Limits.of_this_machine()
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded.clickhouse", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="directory of the database")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--memory", type=int, default=limits.memory, help="bytes the engine may use")
    parser.add_argument("--threads", type=int, default=limits.threads, help="threads of one query")
    parser.add_argument("--config", type=Path, help="file with more elements for ClickHouse's configuration")
    return parser.parse_args()


async def _serve(engine: Engine, port: int) -> None:
    """Serve until SIGTERM or SIGINT; what runs then has three seconds to end before it is cancelled."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        create_app(Front(engine)), auto_decompress=False, access_log=None, shutdown_timeout=_GRACE_SECONDS + 1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    logging.info("ClickHouse %s (chDB) answers at http://127.0.0.1:%d", engine.version, port)
    await stop.wait()
    # A statement that cannot be cancelled must not keep the process: what was acknowledged is stored.
    timer = threading.Timer(_STOP_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()
    killing = loop.call_later(_GRACE_SECONDS, lambda: loop.run_in_executor(None, engine.kill_queries))
    await runner.cleanup()
    killing.cancel()
    timer.cancel()


def main() -> int:
    """Open the database and serve it; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments()
    try:
        more = arguments.config.read_text("utf-8") if arguments.config else ""
        engine = Engine(arguments.path, Limits(arguments.memory, arguments.threads), more)
    except EngineError as error:
        logging.error("cannot open the database in %s: %s", arguments.path, error)
        return 1
    try:
        asyncio.run(_serve(engine, arguments.port))
    except OSError as error:
        logging.error("cannot serve on 127.0.0.1:%d: %s", arguments.port, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
