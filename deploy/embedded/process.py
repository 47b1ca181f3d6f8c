"""A child process that is logged to a file and cannot outlive this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

#: Bytes of a log beyond which it begins anew; a month of an undisturbed demo writes about as many.
LOG_BYTES: Final = 32 << 20
_GUARD = Path(__file__).with_name("guard.py")


class Child:
    """One process under `guard`.

    Start it from the main thread: on Linux "the parent's death" means that of the thread that forked.
    The child is in a session of its own, so Ctrl-C in a terminal reaches only the one who stops it in order.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the command. Its output is appended to `log`; `environment` adds to this process's."""
        self.name = name
        self.command = tuple(command)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.log_start = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process id (on Linux that of the command itself, else of its guard)."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return None while the process runs, else its exit code; negative means killed by that signal."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM) and return at once."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, grace: float) -> None:
        """End the process: SIGTERM, then SIGKILL after `grace` seconds. Returns when it is gone."""
        self.terminate()
        if self.exit_code is None:
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self._release()

    def kill(self) -> None:
        """End the process at once with SIGKILL. Returns when it is gone."""
        if sys.platform == "linux":
            self._process.kill()
        self._release()
        self._process.wait()

    def _release(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def tail(self, lines: int = 20) -> str:
        """Return the last lines that this run of the process wrote, unless the log began anew since."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start if self.log_start <= end else 0, end - 65_536))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def bound_log(log: Path, limit: int = LOG_BYTES) -> None:
    """Move the content of a log of more than `limit` bytes to `<log>.1`, in place of what was there.

    The process goes on writing to the same file, which is open for appending; a line that it writes at this
    very moment may be lost.
    """
    if log.exists() and log.stat().st_size > limit:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def describe_exit(code: int) -> str:
    """Describe how a process ended: `ended with exit code 1`, `was killed by SIGSEGV`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def module_environment() -> dict[str, str]:
    """Return the PYTHONPATH with which `python -m` finds this project's packages from any directory."""
    root = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def wait_until(deadline: float, ready: Callable[[], bool], child: Child | None) -> bool:
    """Poll `ready()`: True when it is; False once the child ended or `deadline` (monotonic) is past."""
    while True:
        if ready():
            return True
        if time.monotonic() >= deadline or (child is not None and child.exit_code is not None):
            return False
        time.sleep(0.05)
