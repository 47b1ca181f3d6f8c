"""What the routes of users and of the platform are given: their desks, on the stores of the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from api.audience_desk import AudienceDesk
from api.deps import StoresDep
from api.operations_desk import OperationsDesk
from sinks.clickhouse.system_reader import ClickHouseSystem


def _audience(stores: StoresDep) -> AudienceDesk:
    return AudienceDesk(stores.users, stores.warm_up.note)


def _operations(stores: StoresDep) -> OperationsDesk:
    return OperationsDesk(ClickHouseSystem(stores.clickhouse))


AudienceDep = Annotated[AudienceDesk, Depends(_audience)]
OperationsDep = Annotated[OperationsDesk, Depends(_operations)]
