"""The read-only user for ad hoc SQL, which may read the analytics database within limits."""

from __future__ import annotations

from typing import Final

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

_log = structlog.get_logger(__name__)

USER: Final = "analyst"
#: ACCESS_DENIED, ACCESS_STORAGE_READONLY, SUPPORT_IS_DISABLED, NOT_IMPLEMENTED, and no storage for users.
_NO_USERS: Final = frozenset({48, 344, 495, 497, 514})

_STATEMENTS: Final = (
    "CREATE SETTINGS PROFILE IF NOT EXISTS analyst{on} SETTINGS readonly = 2 CONST,"
    " max_execution_time = 60 MAX 300, max_memory_usage = 4000000000 MAX 4000000000,"
    " max_result_rows = 1000000 MAX 10000000, distributed_product_mode = 'global'",
    "CREATE QUOTA IF NOT EXISTS analyst{on} KEYED BY user_name FOR INTERVAL 1 hour MAX queries = 3600,"
    " execution_time = 1800 TO analyst",
    "ALTER USER analyst{on} SETTINGS PROFILE 'analyst'",
)


def admit(client: Client, database: str, password: str, on: str = "") -> bool:
    """Create the user `analyst`, or give it this password, and let it read `database`.

    `on` is the `ON CLUSTER` clause, empty for a single server.
    Returns False, and says so in the log, where the server keeps no users that SQL can change (the
    embedded engine, or a server without `access_management`): ad hoc SQL then uses the server's own users.
    """
    secret = password.replace("\\", "\\\\").replace("'", "\\'")
    identified = f"IDENTIFIED WITH sha256_password BY '{secret}'"
    on = f" {on}" if on else ""
    try:
        client.command(f"CREATE USER IF NOT EXISTS {USER}{on} {identified}")
        client.command(f"ALTER USER {USER}{on} {identified}")
        for statement in _STATEMENTS:
            client.command(statement.format(on=on))
        client.command(f"GRANT{on} SELECT ON {database}.* TO {USER}")
    except DatabaseError as error:
        if error.code not in _NO_USERS:
            raise
        _log.warning(
            "no read-only user was created: this server does not allow SQL to manage users", code=error.code
        )
        return False
    return True
