"""One definition of a method for both clients.

`@operation` decorates an `async def`. On a resource of the synchronous client it becomes an ordinary method
that returns the result, on one of the asynchronous client a coroutine function. Parameters and result are
the same, for people, for `help()` and for type checkers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from videocloud._io import AsyncIO, SyncIO, finish

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=SyncIO | AsyncIO)


class Resource(Generic[R]):
    """A part of a client; its methods do their I/O through `_io`."""

    def __init__(self, io: R) -> None:
        """Take the client's I/O."""
        self._io = io


class operation(Generic[P, T]):  # noqa: N801 - read as a decorator
    """A method that blocks on one client and is awaited on the other."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        """Take the method."""
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: Resource[SyncIO], owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, instance: Resource[AsyncIO], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind the method to a resource."""
        if instance is None:
            return self
        bound: Callable[P, Coroutine[Any, Any, T]] = self.method.__get__(instance, owner)
        if not instance._io.blocking:
            return bound

        @wraps(bound)
        def blocking(*args: P.args, **kwargs: P.kwargs) -> T:
            return finish(bound(*args, **kwargs))

        return blocking
