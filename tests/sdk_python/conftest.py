"""Every test that uses the fixture `kind` runs with both clients; no test sees settings of this machine."""

from __future__ import annotations

import pytest
from videocloud import _retry

from tests.sdk_python.clients import KINDS, Kind


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Yield the synchronous and the asynchronous client."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIDEOCLOUD_API_KEY", "VIDEOCLOUD_BASE_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between tries."""
    monkeypatch.setattr(_retry, "FIRST", 0.02)
    monkeypatch.setattr(_retry, "LONGEST", 0.02)
