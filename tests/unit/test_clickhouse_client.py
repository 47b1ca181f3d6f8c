"""Settings that a client sends by what its server tells of them."""

from __future__ import annotations

from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.models import SettingDef

from sinks.clickhouse.client import connect


class Server:
    """A connected client, as far as it knows its server's settings: whether they may be changed."""

    def __init__(self, **fixed: bool) -> None:
        self.server_settings = {name: SettingDef(name, "0", int(one)) for name, one in fixed.items()}
        self.sent: dict[str, str] = {}

    def set_client_setting(self, name: str, value: str) -> None:
        assert not self.server_settings[name].readonly, "clickhouse-connect raises ProgrammingError"
        self.sent[name] = value


async def test_a_setting_that_the_user_may_not_change_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(readonly=True, another=False)

    async def get_async_client(**_: Any) -> Server:
        return server

    monkeypatch.setattr(clickhouse_connect, "get_async_client", get_async_client)
    await connect("http://127.0.0.1:1/x", where_known={"readonly": "2", "another": "1", "unknown": "1"})
    assert server.sent == {"another": "1"}
