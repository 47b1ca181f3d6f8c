"""What the routes of users and of the platform are given: their desks, on the stores of the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.audience_desk import AudienceDesk
from api.deps import stores_of
from api.operations_desk import OperationsDesk
from sinks.clickhouse.system_reader import ClickHouseSystem


async def _audience(request: Request) -> AudienceDesk:
    stores = stores_of(request)
    return AudienceDesk(stores.users, stores.warm_up.note)


async def _operations(request: Request) -> OperationsDesk:
    return OperationsDesk(ClickHouseSystem(stores_of(request).clickhouse))


AudienceDep = Annotated[AudienceDesk, Depends(_audience)]
OperationsDep = Annotated[OperationsDesk, Depends(_operations)]
