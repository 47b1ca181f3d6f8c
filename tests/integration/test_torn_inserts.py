"""Inserts that a kill tore: a table remembers the token and has no part, and must take the rows again."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.base import Block, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.sink import ClickHouseBlocks
from tests.pipeline.bench import Log, view
from tests.pipeline.fold import block_of, fold_log

SCRIPT = Path(__file__).parents[2] / "deploy/clickhouse/forget-torn-inserts.sh"
COUNTS = {
    "playback_events": "SELECT count() FROM playback_events",
    "ingested_offsets": "SELECT toInt64(sum(rows)) FROM ingested_offsets",
    "video_15m": "SELECT toInt64(sum(views)) FROM video_15m",
    "view_starts": "SELECT count() FROM view_starts",
    "users": "SELECT uniqExact(user) FROM users",
}


@contextmanager
def running(server: servers.Server, logs: Path) -> Iterator[None]:
    """Run it, and kill it."""
    child = servers.start(server, logs)
    try:
        yield
    finally:
        child.kill()


def block(sink: ClickHouseBlocks, start: int) -> Block:
    log = Log(start=start)
    for n in range(3):
        for event in view(f"view-{start}-{n}", int(time.time() * 1000) - 60_000):
            log.append(event, event["occurredAt"] + 20)
    where, end = Partition("cluster", "playback.events", 0), start + len(log.records)
    return block_of(where, fold_log(log), start, end, sink)


async def counts(client: AsyncClient) -> dict[str, int]:
    return {table: (await client.query(sql)).result_rows[0][0] for table, sql in COUNTS.items()}


async def newest_part(client: AsyncClient, table: str) -> Path:
    found = await client.query(
        "SELECT path FROM system.parts WHERE active AND database = currentDatabase()"
        " AND table = {table:String} ORDER BY max_block_number DESC LIMIT 1",
        parameters={"table": table},
    )
    return Path(found.result_rows[0][0])


async def test_a_block_that_a_kill_tore_is_whole_when_it_is_sent_again(tmp_path: Path) -> None:
    server = servers.clickhouse(free_port(), tmp_path / "data")
    url = f"{server.address}/torn"
    with running(server, tmp_path):
        migrate(url)
        async with await connect(url) as client:
            blocks = ClickHouseBlocks(client)
            first = block(blocks, 0)
            second = block(blocks, first.end)
            await blocks.write(first)
            once = await counts(client)
            await blocks.write(second)
            torn = [
                await newest_part(client, t) for t in ("playback_events", "ingested_offsets", "video_15m")
            ]
    # What a kill between the token and the part's name leaves behind.
    for part in torn:
        shutil.rmtree(part)
    with running(server, tmp_path):
        async with await connect(url) as client:
            assert (await counts(client))["ingested_offsets"] == once["ingested_offsets"]
            blocks = ClickHouseBlocks(client)
            for sent in (second, first, second):
                await blocks.write(sent)
                assert await counts(client) == {table: 2 * n for table, n in once.items()}


class TestTheScript:
    LINES = (
        "1\t202611_1_1_0\t202611_merged\n"
        "1\t202611_2_2_0\t202611_torn\n"
        "1\t202611_3_3_0\t202611_mutated\n"
        "1\t202612_2_2_0\t202612_torn\n"
        "1\tall_7_7_0\tall_torn_and_forgotten\n"
        "2\tall_7_7_0\tall_torn_and_forgotten\n"
        "1\tall_9_9_1\tall_there\n"
    )
    FORGOTTEN = "2\t202611_2_2_0\t202611_torn\n", "2\t202612_2_2_0\t202612_torn\n"
    PARTS = (
        "202611_0_1_1", "202611_3_3_0_4", "202612_3_5_1", "all_9_9_1",
        "tmp_insert_202611_2_2_0", "detached", "deduplication_logs",
    )  # fmt: skip

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        folder = tmp_path / "a folder"
        folder.mkdir()
        return folder

    @pytest.fixture
    def log(self, data: Path) -> Path:
        table = data / "store/3c0/3c0d0000-0000-0000-0000-000000000000"
        for part in self.PARTS:
            (table / part).mkdir(parents=True)
        log = table / "deduplication_logs/deduplication_log_10.txt"
        log.with_name("deduplication_log_9.txt").write_text("1\t202611_0_0_0\t202611_older\n")
        log.write_text(self.LINES)
        return log

    def run(self, data: Path) -> str:
        done = subprocess.run(["sh", SCRIPT, data], capture_output=True, text=True, check=True)
        return done.stderr

    def test_it_forgets_tokens_without_a_part_and_no_others(self, data: Path, log: Path) -> None:
        told = self.run(data)
        text = log.read_text()
        assert text.startswith(self.LINES)
        assert sorted(text.removeprefix(self.LINES).splitlines(keepends=True)) == sorted(self.FORGOTTEN)
        assert "202611_torn" in told and "202611_merged" not in told

    def test_a_table_that_turned_to_a_new_log_with_its_last_token_is_seen_to(
        self, data: Path, log: Path
    ) -> None:
        new = log.with_name("deduplication_log_11.txt")
        new.touch()
        self.run(data)
        assert log.read_text() == self.LINES
        assert sorted(new.read_text().splitlines(keepends=True)) == sorted(self.FORGOTTEN)
        assert self.run(data) == ""

    def test_a_second_run_finds_nothing_to_do(self, data: Path, log: Path) -> None:
        self.run(data)
        text = log.read_text()
        assert self.run(data) == ""
        assert log.read_text() == text

    def test_a_line_that_was_never_finished_is_dropped(self, data: Path, log: Path) -> None:
        log.write_text(f"{self.LINES}1\tall_10_1")
        self.run(data)
        assert log.read_text().startswith(self.LINES)
        assert "all_10_1" not in log.read_text()
        assert sorted(p.name for p in log.parent.iterdir()) == [
            "deduplication_log_10.txt",
            "deduplication_log_9.txt",
        ]

    def test_a_folder_without_tables_is_none_of_its_business(self, data: Path) -> None:
        assert self.run(data) == ""

    def test_without_a_folder_it_says_how_it_is_used(self) -> None:
        done = subprocess.run(["sh", SCRIPT], capture_output=True, text=True)
        assert done.returncode != 0 and "usage" in done.stderr
