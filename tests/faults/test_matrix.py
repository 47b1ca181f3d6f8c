"""The fault matrix on Apache Kafka: whatever goes wrong, nothing is lost and nothing is double.

`make test` runs one episode in which every component fails once, and then all at once. `make faults` runs
every fault three times in an episode of its own, `make soak` a thousand faults (TEST_SEED sets the seed).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.catalog import FAULTS, QUICK
from tests.faults.harness import Episode, Fault
from tests.faults.servers import Servers, cannot_run

SEED = int(os.environ.get("TEST_SEED", "1"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cannot_run() is not None, reason=str(cannot_run())),
    pytest.mark.timeout(900),
]


def _running(folder: Path, nodes: int) -> Iterator[Servers]:
    servers = Servers(folder, nodes)
    try:
        asyncio.run(servers.start())
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="module")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers with one node of Kafka."""
    yield from _running(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers with three nodes of Kafka."""
    yield from _running(tmp_path_factory.mktemp("three"), 3)


@pytest.fixture
def servers(request: pytest.FixtureRequest, fault: Fault) -> Servers:
    """Servers with as many nodes as a fault needs, requested before the test's own event loop runs."""
    found: Servers = request.getfixturevalue("three_nodes" if fault.nodes == 3 else "one_node")
    return found


async def hold(servers: Servers, fault: Fault, faults: int, folder: Path) -> None:
    """Run an episode, report its figures, and fail unless both stores match the oracle."""
    if servers.given and fault.breaks_brokers:
        pytest.skip("the brokers of TEST_KAFKA_BOOTSTRAP_SERVERS are not ours to break")
    report = await Episode(servers, fault, SEED, folder).run(faults)
    print(report.line())  # noqa: T201  # pytest -s, or a failure, shows it
    assert report.verdict.sound, f"{report.verdict}\nlogs in {folder}"
    assert report.admitted == report.gone, "what retention took must be admitted, no more and no less"


async def test_nothing_is_lost_or_double_when_every_part_fails_in_turn(
    one_node: Servers, tmp_path: Path
) -> None:
    await hold(one_node, QUICK, 5, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_is_lost_or_double_after(fault: Fault, servers: Servers, tmp_path: Path) -> None:
    await hold(servers, fault, 3, tmp_path)
