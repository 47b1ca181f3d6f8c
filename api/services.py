"""Dependencies of routes for users and for the platform itself: services on the application's stores."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.deps import stores_of
from api.system_service import SystemService
from api.user_service import UserService
from sinks.clickhouse.system_reader import ClickHouseSystem


async def _users(request: Request) -> UserService:
    stores = stores_of(request)
    return UserService(stores.users, stores.warm_up.note)


async def _system(request: Request) -> SystemService:
    return SystemService(ClickHouseSystem(stores_of(request).clickhouse))


UsersDep = Annotated[UserService, Depends(_users)]
SystemDep = Annotated[SystemService, Depends(_system)]
