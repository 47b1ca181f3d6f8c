"""The folder of one running stack: process ids, addresses, API key, ports, logs and data."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy import endpoints
from deploy.embedded.ports import free_port
from streams.domain.access import new_secret


class AlreadyRunningError(Exception):
    """Another supervisor holds the folder; `pid` is its process id, 0 when it could not be read."""

    def __init__(self, folder: Path, pid: int) -> None:
        """Say who holds which folder."""
        super().__init__(f"already running in {folder} (pid {pid})")
        self.pid = pid


class RunDirectory:
    """Files below one folder. Data and logs survive a stop; files with process ids and addresses do not."""

    def __init__(self, path: Path) -> None:
        """Create the folder if need be; nothing is locked yet."""
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self.logs = self.path / "logs"
        self.endpoints_file = self.path / "endpoints.env"
        self.pids_file = self.path / "pids.json"
        self.key_file = self.path / "api_key"
        self._ports_file = self.path / "ports.json"
        self._lock_file = self.path / "lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; raise AlreadyRunningError when another process does.

        The kernel lets go of the lock when its holder dies, so a stale file never blocks a start.
        """
        handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunningError(self.path, int(os.read(handle, 20) or b"0")) from None
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            self._forget_processes()
            try:
                yield
            finally:
                self._forget_processes()
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    @property
    def load_endpoints(self) -> str:
        """Return the shell command that puts the addresses and the API key into the environment."""
        return f"set -a; source {shlex.quote(str(self.endpoints_file))}; set +a"

    def _forget_processes(self) -> None:
        # At the start too: a supervisor that was killed could not clean up.
        self.pids_file.unlink(missing_ok=True)
        self.endpoints_file.unlink(missing_ok=True)

    def holder(self) -> int | None:
        """Return the process id of the supervisor that runs here, None when none does."""
        try:
            with self._locked_briefly():
                return None
        except AlreadyRunningError as error:
            return error.pid

    @contextlib.contextmanager
    def _locked_briefly(self) -> Iterator[None]:
        """Hold the folder without touching its files, to ask whether it is free."""
        handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise AlreadyRunningError(self.path, int(os.read(handle, 20) or b"0")) from None
        finally:
            os.close(handle)

    def ports(self) -> dict[str, int]:
        """Return the recorded ports by the name of the process that uses or used them."""
        try:
            found: dict[str, int] = json.loads(self._ports_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def port(self, name: str, default: int | None = None) -> int:
        """Return a free port: the last one of `name`, else `default`, else any; and record it."""
        noted = self.ports()
        noted[name] = free_port(noted.get(name, default))
        self._replace(self._ports_file, json.dumps(noted, indent=2))
        return int(noted[name])

    def api_key(self) -> str:
        """Return the API key of this stack, created at the first call; only the owner can read its file."""
        with contextlib.suppress(FileNotFoundError):
            if key := self.key_file.read_text().strip():
                return key
        key = new_secret()
        self._replace(self.key_file, key + "\n", mode=0o600)
        return key

    def write_endpoints(self, values: Mapping[str, str]) -> None:
        """Write `endpoints.env` (see `deploy.endpoints`), readable by its owner only."""
        self._replace(self.endpoints_file, endpoints.encode(values), mode=0o600)

    def write_pids(self, pids: Mapping[str, int]) -> None:
        """Write `pids.json`: the name of each process and its id."""
        self._replace(self.pids_file, json.dumps(dict(pids), indent=2))

    def _replace(self, path: Path, text: str, mode: int = 0o644) -> None:
        """Write a file atomically: a reader sees the old text or the new one, never a part."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(handle, "w") as file:
            file.write(text)
        draft.replace(path)
