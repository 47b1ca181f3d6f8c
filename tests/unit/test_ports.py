"""Free ports: nobody else gets one between the moment it is chosen and the moment a server binds it."""

from __future__ import annotations

import os
import socket

import pytest

from deploy.embedded import ports
from deploy.embedded.ports import free_port


def test_a_port_is_not_given_twice_before_its_server_may_have_bound_it() -> None:
    given = [free_port() for _ in range(150)]
    assert len(set(given)) == len(given)


def test_neighbouring_processes_choose_from_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    for pid in (4_000, 4_001):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        chosen.append({free_port() for _ in range(50)})
    assert not chosen[0] & chosen[1]


def test_a_preferred_port_is_taken_if_it_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        assert free_port(number) != number
    assert free_port(number) == number


def test_where_the_own_ports_are_all_taken_others_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    own = set(ports._RANGE[os.getpid() % ports._SLICES :: ports._SLICES])
    monkeypatch.setattr(ports, "is_free", lambda port: port not in own)
    assert free_port() not in own
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(OSError, match="no free port"):
        free_port()
