"""What routes are given comes from coroutines: anything else goes through a thread in every request."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, Depends
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.auth import requires
from api.routes import exports, health, live, system, users, videos
from streams.domain.access import Scope

guarded = APIRouter(dependencies=[Depends(requires(Scope.READ))])


@guarded.get("/")
async def _guarded() -> None:
    """Stand for a route that asks for a key."""


ROUTERS = [
    guarded,
    exports.downloads,
    *(module.router for module in (exports, health, live, system, users, videos)),
]
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    assert dependant.call is not None
    yield dependant.call
    for needed in dependant.dependencies:
        yield from _calls(needed)


def _waits_in_the_loop(call: Callable[..., Any]) -> bool:
    function = call if inspect.isroutine(call) else type(call).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{sorted(route.methods)[0]} {route.path}")
def test_no_request_takes_a_thread_to_begin(route: APIRoute) -> None:
    calls = list(_calls(route.dependant))
    assert len(calls) > len(route.dependant.dependencies)
    assert [call for call in calls if not _waits_in_the_loop(call)] == []
