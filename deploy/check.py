"""`vca check`: is the worker or the API of this host ready? For health checks of containers."""

from __future__ import annotations

import os
import urllib.error
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from deploy.direct import DIRECT
from deploy.terminal import show_error

_TIMEOUT: Final = 4.0


def check(
    part: Annotated[
        str | None,
        typer.Argument(metavar="[api|worker]", help="Process to check.", show_default="those that answer"),
    ] = None,
    api_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = 8000,
) -> None:
    """Check whether the API or the worker of this host is ready; exit with code 1 if it is not.

    It queries the API on its port and the worker on WORKER_METRICS_PORT.
    Without a name, at least one must answer, and all that answer must be
    ready: this suits a container, in which only one of them runs.
    """
    ports = {"api": api_port, "worker": int(os.environ.get("WORKER_METRICS_PORT") or 0)}
    if part is not None and part not in ports:
        raise typer.BadParameter(f"{part!r} is neither api nor worker", param_hint="PART")
    if part == "worker" and not ports["worker"]:
        _fail("the worker answers only when WORKER_METRICS_PORT is set")
    asked = [part] if part else [name for name, port in ports.items() if port]
    answers = {name: _ready(ports[name]) for name in asked}
    heard = {name: answer for name, answer in answers.items() if answer is not None}
    if not heard:
        _fail("nothing answers: " + ", ".join(f"{name} at 127.0.0.1:{ports[name]}" for name in asked))
    for name, (ready, text) in heard.items():
        if not ready:
            _fail(f"the {name} is not ready: {text}")
    Console().print(f"{' and '.join(heard)} ready", highlight=False)


def _ready(port: int) -> tuple[bool, str] | None:
    """Return whether the process at a port is ready, and its response; None when nothing answers."""
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}/readyz", timeout=_TIMEOUT) as answer:
            return True, _text(answer.read())
    except urllib.error.HTTPError as error:
        return False, _text(error.read())
    except OSError:
        return None


def _text(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:500]


def _fail(text: str) -> NoReturn:
    show_error(Console(stderr=True), text)
    raise typer.Exit(1)
