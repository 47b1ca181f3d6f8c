"""The socket on which the API listens."""

from __future__ import annotations

import socket

import pytest

from deploy.embedded.ports import free_port
from deploy.serving import bind
from tests.ipv6 import IPV6


@IPV6
@pytest.mark.parametrize(("host", "asked"), [("::1", "::1"), ("::ffff:127.0.0.1", "127.0.0.1")])
def test_it_may_be_an_address_of_ipv6(host: str, asked: str) -> None:
    """The second one is IPv4 by another name: a socket has it only if it takes IPv4, too, as on `::`."""
    with bind(host, free_port()) as listening:
        listening.listen()
        with socket.create_connection((asked, listening.getsockname()[1]), timeout=5):
            pass


def test_a_port_that_another_program_has_is_named() -> None:
    with bind("127.0.0.1", free_port()) as taken:
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: .*in use"):
            bind("127.0.0.1", port)


def test_a_host_may_be_a_name() -> None:
    with bind("localhost", free_port()) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
