"""Run a command that ends with its parent, even when the parent was killed with SIGKILL.

`python guard.py PARENT_PID COMMAND...`, with standard input a pipe whose other end only the parent holds.
On Linux the kernel does it (PR_SET_PDEATHSIG) and this process becomes the command. Elsewhere this process
stays, passes signals on, and kills the command when the pipe closes. Only the standard library is used, so
it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _become(parent: int, command: list[str]) -> None:
    """Ask the kernel for SIGKILL at the parent's death, then execute the command in this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        # The parent died before the kernel registered the request.
        sys.exit(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execvp(command[0], command)


def _watch(command: list[str]) -> int:
    """Run the command as a child, kill it when standard input closes, and return its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill_at_end_of_input() -> None:
        while os.read(0, 1):
            pass
        child.kill()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: child.send_signal(received))
    threading.Thread(target=kill_at_end_of_input, daemon=True).start()
    return child.wait()


def main() -> int:
    """Start the command named on the command line."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    try:
        if sys.platform == "linux":
            _become(parent, command)
        return _watch(command)
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main())
