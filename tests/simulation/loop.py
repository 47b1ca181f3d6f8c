"""An event loop with virtual time, whose order is decided by a seed, and machines that die or stand still."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final


class Stuck(Exception):
    """Nothing can happen any more, or too much happens in no time."""


class Machine:
    """Tasks that live and die together, like those of a process.

    What is ready to run on a machine that stands still waits there; on a dead one it waits for ever. So no
    `finally` runs when a machine dies: exactly as after `kill -9`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_running = True
        self.is_dead = self._is_buried = False
        #: Whether the process ended itself.
        self.has_failed = False
        self._parked: list[asyncio.Handle] = []

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task on this machine."""
        context = copy_context()
        context.run(_MACHINE.set, self)
        return asyncio.get_running_loop().create_task(work, context=context)

    def pause(self) -> None:
        """Stand still, as if stopped by SIGSTOP or by a hypervisor."""
        self.is_running = False

    def resume(self) -> None:
        """Go on, unless it is dead."""
        if not self.is_dead:
            self.is_running = True
            for handle in self._parked:
                handle._loop._ready.append(handle)  # type: ignore[attr-defined]
            self._parked.clear()

    def kill(self) -> None:
        """Stop for ever."""
        if not self._is_buried:
            self.is_running, self.is_dead = False, True

    def park(self, handle: asyncio.Handle) -> None:
        """Keep something ready to run until the machine goes on."""
        self._parked.append(handle)

    def bury(self) -> None:
        """Let the tasks of a dead machine end, once nothing that they do matters any more."""
        self._is_buried, self.is_dead = True, False
        self.resume()


_MACHINE: ContextVar[Machine | None] = ContextVar("machine", default=None)


def this_machine() -> Machine | None:
    """Return the machine on which the caller runs; None for what is outside all of them."""
    return _MACHINE.get()


def outside(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task that no machine's death ends, such as a request that is on its way."""
    return asyncio.get_running_loop().create_task(work, context=Context())


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs what is ready in random order, and jumps to the next timer when nothing is."""

    def __init__(self, rng: random.Random, *, in_order: bool = False) -> None:
        """Draw the order from `rng`; `in_order` keeps asyncio's own."""
        super().__init__()
        self._rng, self._in_order = rng, in_order
        self._now = 0.0
        self._steps_at_once = 0
        #: Every task: asyncio knows its tasks only weakly, and one that waits on a dead machine must not be
        #: collected, at a moment that no seed decides.
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda *_: None)

    def _new_task(self, loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        timers: Any = self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Stuck("every task waits, and no timer is set")
            if timers[0]._when > self._now:
                self._now, self._steps_at_once = timers[0]._when, 0
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        if not self._in_order and len(ready) > 1:
            ready.rotate(-self._rng.randrange(len(ready)))
        handle = ready.popleft()
        if handle._cancelled:
            return
        self._steps_at_once += 1
        if self._steps_at_once > _MOST_STEPS_AT_ONCE:
            raise Stuck("tasks run on and on without any time passing")
        machine = handle._context.get(_MACHINE)
        if machine is not None and not machine.is_running:
            machine.park(handle)
        else:
            handle._run()

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there are no sockets."""

    def _write_to_self(self) -> None:
        """Do nothing: nothing comes from other threads."""

    def bury(self, machines: list[Machine]) -> None:
        """End all tasks, whose machines may be dead, so that none is destroyed while it waits."""
        for machine in machines:
            machine.bury()
        for _ in range(50):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.wait(left, timeout=1.0))
        self.close()


_MOST_STEPS_AT_ONCE: Final = 50_000
