"""Which failures of Redis may pass, by what the server says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from redis.exceptions import ResponseError

from sinks.base import Unavailable
from sinks.clickhouse import client as clickhouse
from sinks.redis import client as redis
from sinks.redis.client import available

SCRIPT = "script: 39aceb3f, on @user_script:16."
#: How it is said of a command, of one in a pipeline, and of one in a script of Redis 6 and of newer ones.
OF = (
    "{}",
    "Command # 1 (SET a 1) of pipeline caused error: {}",
    "Error running script (call to f_39aceb3f): @user_script:16: @user_script: 16: -{}",
    "{} " + SCRIPT,
)


@pytest.mark.parametrize("of", OF)
@pytest.mark.parametrize(
    "said",
    [
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
    ],
)
def test_a_server_that_refuses_for_now_is_waited_for(of: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said.split(maxsplit=1)[0]), available():
        raise ResponseError(of.format(said))


@pytest.mark.parametrize(
    "said",
    [
        f"Script attempted to access a non local key in a cluster node {SCRIPT}",  # Redis 6 and 7
        "Unable to execute command 'zunion' in script because undeclared keys were accessed during rehashing"
        f" of the slot {SCRIPT}",  # Redis 8
    ],
)
def test_keys_that_move_to_another_node_are_waited_for(said: str) -> None:
    with pytest.raises(Unavailable, match="moving"), available():
        raise ResponseError(said)


@pytest.mark.parametrize(
    "said",
    [
        f"attempt to index a nil value {SCRIPT}",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "BUSYGROUP Consumer Group name already exists",
        "ERR value is not an integer: 'MISCONF '",
    ],
)
def test_what_will_never_work_is_not(said: str) -> None:
    with pytest.raises(ResponseError), available():
        raise ResponseError(said)


@pytest.mark.parametrize("available", [redis.available, clickhouse.available])
def test_a_failure_without_words_is_told_by_its_name(
    available: Callable[[], AbstractContextManager[None]],
) -> None:
    with pytest.raises(Unavailable, match=r"^(Redis|ClickHouse): TimeoutError$"), available():
        raise TimeoutError
