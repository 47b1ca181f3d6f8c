"""Whose key it is: from the store, from memory, or from nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from api.keys import COOLDOWN_SECONDS, ENVIRONMENT, TTL_SECONDS, USED_SECONDS, Keyring
from streams.domain.access import ALL_SCOPES, Key, Scope, digest_of, is_secret, new_key, new_secret
from streams.domain.errors import StoreUnavailableError

NOW = datetime(2024, 3, 30, 14, 5, 27, tzinfo=UTC)


@dataclass
class Shelf:
    """`KeyStore` in memory that may be down."""

    keys: dict[str, Key] = field(default_factory=dict)
    uses: list[str] = field(default_factory=list)
    asked: int = 0
    down: bool = False

    async def find(self, digest: str) -> Key | None:
        self.asked += 1
        if self.down:
            raise StoreUnavailableError("redis", "down")
        return self.keys.get(digest)

    async def use(self, digest: str, when: datetime) -> None:
        if self.down:
            raise StoreUnavailableError("redis", "down")
        self.uses.append(digest)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def put(shelf: Shelf, *scopes: Scope) -> str:
    secret = new_secret()
    digest = digest_of(secret)
    shelf.keys[digest] = new_key(digest, "someone", scopes, NOW)
    return secret


def test_keys_are_random_have_a_prefix_and_are_not_in_their_record() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("vca_") and len(secret) == 36 and is_secret(secret)
        assert secret[4:] not in repr(new_key(digest_of(secret), "name", [Scope.READ], NOW))
    for text in ("", "vca_", "vca_" + "a" * 31, "vca_" + "a" * 33, "key_" + "a" * 32, "vca_" + "ä" * 32):
        assert not is_secret(text)
    assert not is_secret("vca_" + "a" * 32 + "\n")


async def test_a_key_is_looked_up_once_in_a_while(shelf: Shelf, time: Time) -> None:
    ring, secret = Keyring(shelf, clock=time, required=True), put(shelf, Scope.READ)
    for _ in range(10):
        key = await ring.find(secret, NOW)
        assert key is not None and key.scopes == {Scope.READ}
    assert shelf.asked == 1
    time.now += TTL_SECONDS + 0.1
    await ring.find(secret, NOW)
    assert shelf.asked == 2


async def test_a_revoked_key_is_forgotten_and_a_new_one_found(shelf: Shelf, time: Time) -> None:
    ring, secret = Keyring(shelf, clock=time), put(shelf, Scope.READ)
    assert await ring.find(secret, NOW)
    kept = shelf.keys.copy()
    shelf.keys.clear()
    time.now += TTL_SECONDS + 0.1
    assert await ring.find(secret, NOW) is None
    assert await ring.find(secret, NOW) is None
    assert shelf.asked == 2
    shelf.keys.update(kept)
    time.now += TTL_SECONDS + 0.1
    assert await ring.find(secret, NOW)


async def test_while_the_store_is_down_known_keys_go_on(shelf: Shelf, time: Time) -> None:
    ring, secret = Keyring(shelf, "the environment's", clock=time), put(shelf, Scope.READ)
    other = put(shelf, Scope.READ)
    assert await ring.find(secret, NOW)
    shelf.down = True
    time.now += 3600
    assert await ring.find(secret, NOW)
    assert await ring.find("the environment's", NOW) is ENVIRONMENT
    with pytest.raises(StoreUnavailableError):
        await ring.find(other, NOW)
    # One that failed is left alone for a while.
    assert shelf.asked == 2
    time.now += COOLDOWN_SECONDS + 0.1
    shelf.down = False
    assert await ring.find(other, NOW)


async def test_a_key_revoked_before_the_store_went_down_stays_so(shelf: Shelf, time: Time) -> None:
    ring, secret = Keyring(shelf, clock=time), put(shelf, Scope.READ)
    assert await ring.find(secret, NOW)
    shelf.keys.clear()
    time.now += TTL_SECONDS + 0.1
    assert await ring.find(secret, NOW) is None
    shelf.down = True
    time.now += TTL_SECONDS + 0.1
    with pytest.raises(StoreUnavailableError):
        await ring.find(secret, NOW)


async def test_what_is_no_key_is_not_looked_up(shelf: Shelf, time: Time) -> None:
    ring = Keyring(shelf, "k", clock=time)
    for text in ("", "kk", "nonsense", "vca_short", "schlüssel"):
        assert await ring.find(text, NOW) is None
    assert shelf.asked == 0
    key = await ring.find("k", NOW)
    assert key is not None and key.scopes == ALL_SCOPES


async def test_use_is_written_down_once_a_minute(shelf: Shelf, time: Time) -> None:
    ring, secret = Keyring(shelf, clock=time), put(shelf, Scope.READ)
    for _ in range(5):
        await ring.find(secret, NOW)
    time.now += USED_SECONDS
    await ring.find(secret, NOW)
    await ring.close()
    assert shelf.uses == [digest_of(secret)] * 2


async def test_of_keys_that_come_and_go_only_some_are_remembered(shelf: Shelf, time: Time) -> None:
    ring = Keyring(shelf, clock=time)
    for _ in range(1000):
        secret = put(shelf, Scope.READ)
        assert await ring.find(secret, NOW)
        shelf.keys.clear()
        time.now += USED_SECONDS / 10
    await ring.close()
    assert len(ring._used) == 10


async def test_whoever_tries_many_keys_does_not_fill_the_memory(
    shelf: Shelf, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.keys._MAX_ENTRIES", 3)
    ring, secret = Keyring(shelf, clock=time), put(shelf, Scope.READ)
    assert await ring.find(secret, NOW)
    wrong = [new_secret() for _ in range(10)]
    for each in wrong:
        assert await ring.find(each, NOW) is None
    assert (len(ring._unknown), len(ring._known)) == (3, 1)
    asked = shelf.asked
    # The wrong ones have not displaced a right one, and only the latest of them are remembered.
    assert await ring.find(secret, NOW)
    assert await ring.find(wrong[-1], NOW) is None
    assert shelf.asked == asked
    assert await ring.find(wrong[0], NOW) is None
    assert shelf.asked == asked + 1
    for _ in range(4):
        assert await ring.find(put(shelf, Scope.READ), NOW)
    assert len(ring._known) == 3


def test_the_api_is_open_only_without_any_demand_for_keys(shelf: Shelf) -> None:
    assert Keyring(shelf).open
    assert not Keyring(shelf, "key").open
    assert not Keyring(shelf, required=True).open
