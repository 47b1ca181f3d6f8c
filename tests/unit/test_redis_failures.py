"""Which failures of Redis may pass, by what the server says."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from sinks.base import Unavailable
from sinks.redis.client import available

SCRIPT = "script: 39aceb3f, on @user_script:16."


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


def test_a_fault_of_a_script_is_not() -> None:
    with pytest.raises(ResponseError), available():
        raise ResponseError(f"attempt to index a nil value {SCRIPT}")
