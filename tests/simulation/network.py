"""Requests to the stores: late, lost, unanswered, or on their way for longer than their sender lives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from sinks.base import Block, Unavailable
from sinks.memory import MemoryArchive, MemoryStore
from tests.simulation.loop import Machine, outside, this_machine

#: Usual seconds of a request on its way there, or back.
_LATENCY: Final = {"redis": 0.002, "clickhouse": 0.02, "kafka": 0.005}
#: Seconds after which a client gives up waiting for an answer.
_PATIENCE: Final = {"redis": 5.0, "clickhouse": 30.0, "kafka": 5.0}
#: What happens to requests that get no answer.
_SILENT: Final = ("lost", "lost answer", "late")
#: What writes live counters.
_COUNTING: Final = ("write", "rebuild")
#: What the worker does itself.
_LOCAL: Final = ("pack", "encode", "start", "close")


@dataclass
class Server:
    """A store as clients see it; a full one refuses writes."""

    name: str
    is_away: bool = False
    is_slow: bool = False
    is_full: bool = False
    #: Whether its machine has no power.
    is_dark: bool = False
    #: Usual seconds of a request on its way there, or back, and seconds after which a client gives up.
    latency: float = field(init=False)
    patience: float = field(init=False)
    #: How often its machine lost its power or came back. No request outlives that: its connection is gone.
    life: int = 0

    def __post_init__(self) -> None:
        self.latency, self.patience = _LATENCY[self.name], _PATIENCE[self.name]


@dataclass(eq=False)
class Insert:
    """An insert that is on its way: `land` makes it arrive at once, `drop` never."""

    packed: bytes
    token: str
    #: Whether its sender waits for the answer, and will get it.
    is_awaited: Callable[[], bool]
    land: Callable[[], None]
    drop: Callable[[], None]


@dataclass(eq=False)
class _Trap:
    step: str
    is_done: bool
    sender: asyncio.Future[Machine | None]


@dataclass
class Network:
    """Brings requests to the servers, well or badly."""

    rng: random.Random
    note: Callable[[str], None]
    #: How long after its sender gave up a request may still arrive, in seconds.
    lateness: float = 10.0
    #: Share of requests that something happens to, now.
    trouble: float = 0.0
    #: Whether each request to Redis arrives a second time, late, now.
    has_echoes: bool = False
    #: Share of requests whose connection breaks before the answer; the client may send them again at once.
    breaks: float = 0.0
    #: Seconds for which the next request of a kind is on its way, in addition.
    holds: dict[str, float] = field(default_factory=dict)
    #: Partitions whose slots move to another node of Redis now: no counters can be written.
    moving: set[Any] = field(default_factory=set)
    #: The tables as a replica of ClickHouse has them that is behind; None while none is.
    stale: dict[str, list[Any]] | None = None
    #: Workers' machines, each with the server that it cannot reach now.
    cuts: set[tuple[Machine | None, str]] = field(default_factory=set)
    #: Who waits for a request of some kind; see `next_step`.
    traps: list[_Trap] = field(default_factory=list)
    servers: dict[str, Server] = field(default_factory=lambda: {name: Server(name) for name in _LATENCY})
    #: Requests to which something happens, and that may still arrive.
    troubled: int = 0
    #: Inserts on their way, in the order in which they were sent.
    inserts: list[Insert] = field(default_factory=list)
    #: Says whether an insert must not arrive any more, and ends its sender (see `World.doubt_inserts`).
    is_forbidden: Callable[[Machine | None, str, bytes], bool] = lambda *_: False

    async def ask(
        self,
        server: Server,
        what: str,
        effect: Callable[[], Awaitable[Any]],
        packed: tuple[str, bytes] | None = None,
    ) -> Any:
        """Send a request and return its answer; raises `Unavailable`, whether it had an effect or not.

        `effect` does the server's work, in one step. `packed` are token and bytes of an insert.
        """
        sender = this_machine()
        if sender is not None and sender.is_dead:
            await asyncio.Event().wait()  # It does not know yet that it is dead.
        fate = "lost" if (sender, server.name) in self.cuts else self._fate()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outside(_Trip(self, server, sender, what, effect, answer, fate, packed).run())
        # Most connections break at once, and only some are silent.
        patience = server.patience * (0.02 if fate in _SILENT and self.rng.random() < 0.8 else 1)
        try:
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise Unavailable(f"{server.name}: no answer to {what}", server.name) from None

    async def next_step(self, step: str, is_done: bool, seconds: float) -> Machine | None:
        """Return the sender of the next request of one kind, once it is sent or `is_done`; None without any.

        `step` is the name of a method of the stores, or "insert".
        """
        trap = _Trap(step, is_done, asyncio.get_running_loop().create_future())
        self.traps.append(trap)
        try:
            async with asyncio.timeout(seconds):
                return await trap.sender
        except TimeoutError:
            return None
        finally:
            self.traps.remove(trap)

    def spring(self, step: str, is_done: bool, sender: Machine | None) -> None:
        """Tell whoever waits for such a request."""
        for trap in self.traps:
            if (trap.step, trap.is_done) == (step, is_done) and not trap.sender.done():
                trap.sender.set_result(sender)

    def _fate(self) -> str:
        if self.breaks and self.rng.random() < self.breaks:
            return self.rng.choice(("lost answer", "again"))
        if self.rng.random() >= self.trouble:
            return "well"
        return self.rng.choice(
            ("refused", "lost", "lost answer", "lost answer", "late", "late", "slow", "again")
        )

    def delay(self, server: Server) -> float:
        """Return for how long a request is on its way, in seconds."""
        longest = server.latency * (50 if server.is_slow else 1)
        return 0.0 if self.rng.random() < 0.1 else self.rng.expovariate(1 / longest)


class _Trip:
    """One request, from its sending to its answer."""

    def __init__(
        self,
        network: Network,
        server: Server,
        sender: Machine | None,
        what: str,
        effect: Callable[[], Awaitable[Any]],
        answer: asyncio.Future[Any],
        fate: str,
        packed: tuple[str, bytes] | None,
    ) -> None:
        self._network, self._server, self._sender = network, server, sender
        self._step, self._what = what.partition("(")[0], f"{sender.name if sender else '?'} {what}"
        self._effect, self._answer, self._fate, self._packed = effect, answer, fate, packed
        self._life = server.life
        self._arrives = asyncio.Event()
        self._is_dropped = False

    async def run(self) -> None:
        is_troubled = self._fate != "well"
        if is_troubled:
            self._network.note(f"{self._what}: {self._fate}")
        self._network.troubled += is_troubled
        if self._network.has_echoes and self._server.name == "redis":
            outside(self._echo())
        await self._run()
        self._network.troubled -= is_troubled

    async def _echo(self) -> None:
        network = self._network
        network.troubled += 1
        await asyncio.sleep(network.rng.uniform(0, network.lateness))
        if not self._server.is_away:
            network.note(f"{self._what}: again, late")
            with suppress(Exception):
                await self._effect()
        network.troubled -= 1

    async def _run(self) -> None:
        network, server, fate = self._network, self._server, self._fate
        network.spring(self._step, False, self._sender)
        delay = network.delay(server) + network.holds.pop(self._step, 0.0)
        if fate == "slow":
            delay += network.rng.uniform(0, _PATIENCE[server.name])
        elif fate == "late":
            delay += network.rng.uniform(0, network.lateness)
        insert = None
        if self._packed:
            insert = Insert(self._packed[1], self._packed[0], self._is_awaited, self._arrives.set, self._drop)
            network.inserts.append(insert)
        try:
            async with asyncio.timeout(delay):
                await self._arrives.wait()
        except TimeoutError:
            pass
        finally:
            if insert:
                network.inserts.remove(insert)
        if self._packed and not self._is_dropped and network.is_forbidden(self._sender, *self._packed):
            self._drop()
        if fate == "lost" or self._is_dropped:
            return
        if fate == "refused" or server.is_away or server.is_dark or server.life != self._life:
            self._fail(f"{server.name}: connection refused")
            return
        try:
            result = await self._effect()
            network.spring(self._step, True, self._sender)
            if fate == "again":
                # The connection broke before the answer, and the client sent the request once more at once.
                if insert:
                    network.inserts.append(insert)
                await asyncio.sleep(network.delay(server))
                if insert:
                    network.inserts.remove(insert)
                if not self._is_dropped and server.life == self._life:
                    result = await self._effect()
        except Exception as error:
            network.note(f"{self._what} -> {error!r}")
            await asyncio.sleep(network.delay(server))
            if not self._answer.done() and fate not in ("lost answer", "late"):
                self._answer.set_exception(error)
            return
        network.note(f"{self._what} -> {_short(result)}")
        if fate in ("lost answer", "late"):
            return
        await asyncio.sleep(network.delay(server))
        if server.life != self._life:
            self._fail(f"{server.name}: connection reset")
        elif not self._answer.done():
            self._answer.set_result(result)

    def _is_awaited(self) -> bool:
        is_waiting = self._sender is not None and self._sender.is_running and not self._answer.done()
        return is_waiting and self._fate == "well"

    def _drop(self) -> None:
        self._is_dropped = True
        self._arrives.set()

    def _fail(self, text: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(Unavailable(text, self._server.name))


def _short(result: Any) -> str:
    return "ok" if result is None else repr(result)[:300]


class Remote:
    """A store of `sinks.memory` on the other side of a network."""

    def __init__(self, store: Any, network: Network, server: str, writes: tuple[str, ...] = ()) -> None:
        """Reach `store` through a server; `writes` are the methods that it may refuse."""
        self._store, self._network, self._server = store, network, network.servers[server]
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        method, moving = getattr(self._store, name), self._network.moving
        if name in _LOCAL:
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            async def effect() -> Any:
                if self._server.is_full and name in self._writes:
                    raise Unavailable(f"{self._server.name} refuses writes", self._server.name)
                if name in _COUNTING and getattr(arguments[0], "partition", arguments[0]) in moving:
                    raise Unavailable(f"{self._server.name}: a slot moves", self._server.name)
                return await method(*arguments, **named)

            what = f"{name}({', '.join(map(_argument, arguments))})"
            return await self._network.ask(self._server, what, effect)

        return call


class RemoteBlocks(Remote):
    """Inserts, whose bytes are those of the moment at which they were sent."""

    async def write(self, block: Block) -> None:
        if block.rows:
            await self.send(block.token, self._store.pack([block]))

    async def send(self, token: str, packed: bytes) -> None:
        async def effect() -> None:
            if self._server.is_full:
                raise Unavailable("clickhouse: too many parts", "clickhouse")
            await self._store.send(token, packed)

        await self._network.ask(self._server, f"insert({token})", effect, (token, packed))


class RemoteArchive(Remote):
    """Look-ups; lists of rows come in several answers."""

    async def ends(self, places: Collection[tuple[str, str, int]]) -> Any:
        async def effect() -> Any:
            stale = self._network.stale
            archive = self._store if stale is None else MemoryArchive(MemoryStore(tables=stale))
            return await archive.ends(places)

        return await self._network.ask(self._server, "ends", effect)

    async def next_offset(self, *where: Any) -> Any:
        async def effect() -> Any:
            if self._network.stale is not None:
                # All replicas have caught up now.
                tables = self._store._store.tables
                self._network.stale = {name: list(rows) for name, rows in tables.items()}
            return await self._store.next_offset(*where)

        return await self._network.ask(self._server, f"next_offset{where}", effect)

    async def recent(self, *arguments: Any, **named: Any) -> AsyncIterator[list[Any]]:
        async def effect() -> list[Any]:
            return [rows async for rows in self._store.recent(*arguments, **named)]

        for rows in await self._network.ask(self._server, "recent", effect):
            yield rows


def _argument(value: Any) -> str:
    if isinstance(value, Block):
        return f"block {value.token}"
    if isinstance(value, str | int):
        return repr(value)
    epoch = getattr(value, "epoch", None)
    if hasattr(value, "start"):
        return f"{value.partition} e{epoch} {value.start}-{value.end}"
    return str(value) if hasattr(value, "number") or hasattr(value, "incarnation") else type(value).__name__


def rows_of(packed: bytes) -> list[list[Any]]:
    """Return the rows of a packed insert of `MemoryBlocks`."""
    _, _, lines = msgspec.msgpack.decode(packed, type=tuple[str, str, bytes])
    return msgspec.json.Decoder(list[Any]).decode_lines(lines)
