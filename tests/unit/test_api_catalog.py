"""The catalog with a memory: fresh answers are kept, old ones stand in, failures rest a moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import pytest

from api.catalog import COOLDOWN_SECONDS, TTL_SECONDS, CachedCatalog
from streams.domain.errors import StoreUnavailableError
from streams.domain.video_readings import CatalogEntry

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


class Shelf:
    """A catalog in memory that can be taken down, and counts what it is asked."""

    def __init__(self) -> None:
        self.up = True
        self.asked = 0
        self.entries = {"a": CatalogEntry(listed=True, title="A", live=True, first=FIRST)}

    def _ask(self) -> None:
        self.asked += 1
        if not self.up:
            raise StoreUnavailableError("shelf", "down")

    async def entry(self, video_id: str) -> CatalogEntry:
        self._ask()
        return self.entries.get(video_id, CatalogEntry())

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        self._ask()
        return {video: self.entries[video].title or "" for video in video_ids if video in self.entries}

    async def live(self) -> Collection[str]:
        self._ask()
        return frozenset(video for video, entry in self.entries.items() if entry.live)

    async def first(self) -> datetime | None:
        self._ask()
        return FIRST


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def catalog(shelf: Shelf, time: Time) -> CachedCatalog:
    return CachedCatalog(shelf, time)


async def test_a_fresh_answer_is_not_asked_for_again(
    catalog: CachedCatalog, shelf: Shelf, time: Time
) -> None:
    for _ in range(3):
        assert (await catalog.entry("a")).title == "A"
        assert await catalog.titles(["a"]) == {"a": "A"}
        assert await catalog.live() == {"a"}
    assert shelf.asked == 3
    time.now += TTL_SECONDS + 1
    shelf.entries["a"] = CatalogEntry(listed=True, title="A2")
    assert (await catalog.entry("a")).title == "A2"
    assert await catalog.titles(["a"]) == {"a": "A2"}
    assert await catalog.live() == frozenset()


async def test_what_is_not_known_is_asked_for_every_time(catalog: CachedCatalog, shelf: Shelf) -> None:
    assert (await catalog.titles(["a", "b"]), (await catalog.entry("b")).title) == ({"a": "A"}, None)
    shelf.entries["b"] = CatalogEntry(listed=True, title="B")
    assert (await catalog.titles(["a", "b"]), (await catalog.entry("b")).title) == ({"a": "A", "b": "B"}, "B")


async def test_a_title_that_is_gone_is_not_remembered(
    catalog: CachedCatalog, shelf: Shelf, time: Time
) -> None:
    await catalog.titles(["a"])
    time.now += TTL_SECONDS + 1
    del shelf.entries["a"]
    assert await catalog.titles(["a"]) == {}
    shelf.up = False
    with pytest.raises(StoreUnavailableError):
        await catalog.titles(["a"])


async def test_an_old_answer_stands_in_while_the_catalog_is_down(
    catalog: CachedCatalog, shelf: Shelf, time: Time
) -> None:
    await catalog.entry("a")
    await catalog.titles(["a", "b"])
    await catalog.live()
    shelf.up = False
    time.now += 3600
    assert (await catalog.entry("a")).title == "A"
    assert await catalog.titles(["a", "c"]) == {"a": "A"}
    assert await catalog.live() == {"a"}


async def test_what_was_never_known_fails_while_the_catalog_is_down(
    catalog: CachedCatalog, shelf: Shelf
) -> None:
    shelf.up = False
    for question in (catalog.entry("a"), catalog.titles(["a"]), catalog.live(), catalog.first()):
        with pytest.raises(StoreUnavailableError):
            await question


async def test_a_catalog_that_failed_is_left_alone_for_a_moment(
    catalog: CachedCatalog, shelf: Shelf, time: Time
) -> None:
    shelf.up = False
    for _ in range(5):
        with pytest.raises(StoreUnavailableError):
            await catalog.entry("a")
    assert shelf.asked == 1
    shelf.up = True
    time.now += COOLDOWN_SECONDS
    assert (await catalog.entry("a")).known


async def test_an_unknown_video_is_asked_for_every_time(catalog: CachedCatalog, shelf: Shelf) -> None:
    assert not (await catalog.entry("new")).known
    shelf.entries["new"] = CatalogEntry(listed=True)
    assert (await catalog.entry("new")).known


async def test_of_videos_that_come_and_go_only_those_read_last_are_remembered(
    catalog: CachedCatalog, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.catalog._MAX_ENTRIES", 2)
    shelf.entries = {video: CatalogEntry(listed=True, title=video.upper()) for video in "abc"}
    for video in "abc":
        await catalog.entry(video)
    # More than fit, all of which the answer must have.
    assert await catalog.titles(["a", "b", "c"]) == {"a": "A", "b": "B", "c": "C"}
    shelf.up = False
    assert [(await catalog.entry(video)).title for video in "bc"] == ["B", "C"]
    with pytest.raises(StoreUnavailableError):
        await catalog.entry("a")
    assert await catalog.titles(["a", "b", "c"]) == {"b": "B", "c": "C"}
