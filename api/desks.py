"""What the routes of users and of the platform are given: their desks, on the stores of the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from api.audience_desk import AudienceDesk
from api.deps import StoresDep
from api.operations_desk import OperationsDesk
from sinks.clickhouse.system_reader import ClickHouseSystem
from sinks.clickhouse.user_reader import ClickHouseUsers


def _audience(stores: StoresDep) -> AudienceDesk:
    return AudienceDesk(ClickHouseUsers(stores.clickhouse))


def _operations(stores: StoresDep) -> OperationsDesk:
    return OperationsDesk(ClickHouseSystem(stores.clickhouse))


AudienceDep = Annotated[AudienceDesk, Depends(_audience)]
OperationsDep = Annotated[OperationsDesk, Depends(_operations)]
