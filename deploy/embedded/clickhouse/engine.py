"""The chDB engine, run so that many requests can share it.

Every request gets a chDB handle of its own (0.1 ms): settings, the current database and `readonly` are
state of a handle, so nothing of one request leaks into the next, and handles work in parallel.
All methods block; the front calls them from threads.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import chdb

from deploy.embedded.clickhouse import formats
from deploy.embedded.clickhouse.call import Call
from deploy.embedded.clickhouse.errors import BAD_ARGUMENTS, CANNOT_WRITE, NOT_IMPLEMENTED, EngineError
from deploy.embedded.clickhouse.statement import Kind, Statement

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_CHUNK = 1 << 20
#: What every ClickHouse of ours runs before it opens its data; the script says why.
_FORGET_TORN_INSERTS = Path(__file__).parents[2] / "clickhouse" / "forget-torn-inserts.sh"
DEFAULT_FORMAT = "TabSeparated"

_CONFIG = """<clickhouse>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>{marks}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>2</background_schedule_pool_size>
{more}
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may take of the machine: bytes of memory, and threads for one query."""

    memory: int
    threads: int

    @classmethod
    def of_this_machine(cls) -> Limits:
        """Return limits that leave room for the rest: a third of the memory, 4 GiB at most; two threads."""
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(memory=min(4 << 30, total // 3), threads=min(2, os.cpu_count() or 1))


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _set_statement(settings: Mapping[str, str]) -> str:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise EngineError.refuse(115, f"Unknown setting {name!r}. (UNKNOWN_SETTING)")
    return "SET " + ", ".join(f"{name} = {_quote(value)}" for name, value in settings.items())


class Engine:
    """One chDB database directory. chDB serves one process: never open the same directory twice."""

    def __init__(self, path: Path, limits: Limits, more: str = "") -> None:
        """Open or create the database at `path`; raise EngineError when chDB refuses it.

        `more` are elements for ClickHouse's configuration.
        """
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", str(_FORGET_TORN_INSERTS), str(path)], check=True)
        self._spool = path.resolve() / "spool"
        shutil.rmtree(self._spool, ignore_errors=True)  # What a kill left there.
        self._spool.mkdir()
        self._names = itertools.count()
        config = self._spool / "config.xml"
        config.write_text(_CONFIG.format(memory=limits.memory, marks=limits.memory // 16, more=more))
        options = {
            "config-file": str(config),
            "max_threads": limits.threads,
            "async_insert": 0,
            "implicit_select": 0,
            # On little data, compiling a query to machine code takes longer than it saves.
            "compile_expressions": 0,
            "compile_aggregate_expressions": 0,
            "compile_sort_description": 0,
        }
        self._address = f"{path.resolve()}?{urlencode(options, safe='/')}"
        # An engine lives as long as its last handle, so this one stays open.
        self._keeper = self._connect()
        self.version = self._keeper.query("SELECT version()", "TSV").bytes().decode().strip()

    def _connect(self) -> Any:
        try:
            return chdb.connect(self._address)
        except RuntimeError as error:
            raise EngineError.from_message(str(error)) from error

    def kill_queries(self) -> None:
        """Ask all running statements to end; they fail with QUERY_WAS_CANCELLED."""
        with suppress(chdb.ChdbError):
            self._keeper.query("KILL QUERY WHERE query_id != queryID() ASYNC")

    def close(self) -> None:
        """Close the database. No call may be running."""
        self._keeper.close()
        shutil.rmtree(self._spool)

    @contextmanager
    def _handle(self, call: Call) -> Iterator[Any]:
        """Lend a handle with the database and settings of `call`; chDB's errors become EngineError."""
        with closing(self._connect()) as handle:
            try:
                if call.database and call.database != "default":
                    handle.query("USE `" + call.database.replace("`", "``") + "`")
                if call.settings:
                    handle.query(_set_statement(call.settings))
                yield handle
            except UnicodeDecodeError as error:
                raise EngineError.refuse(BAD_ARGUMENTS, f"The query is not UTF-8: {error}.") from error
            except RuntimeError as error:
                raise EngineError.from_message(str(error)) from error
            except chdb.ChdbError as error:
                raise EngineError.from_message(str(error)) from error

    def insert(self, statement: Statement, call: Call) -> str:
        """Insert the statement's data, as one block up to a million rows, and return the summary.

        Through a file: chDB's streaming inserter says that all is well when a table refuses the block
        before its first row, as one with too many parts or a full disk does.
        """
        path = self._spool / f"{next(self._names)}.data"
        sql = statement.sql
        before, after = (sql[: statement.source_at].decode(), sql[statement.source_at :].decode())
        query = (
            f"{before} FROM INFILE {_quote(str(path))} COMPRESSION 'none' {after} FORMAT {statement.format}"
        )
        try:
            path.write_bytes(statement.data)
            with self._handle(call) as handle:
                done = handle.query(query, params=dict(call.parameters))
        except OSError as error:
            raise EngineError.refuse(
                CANNOT_WRITE, f"Cannot write to file: {error}. (CANNOT_WRITE_TO_FILE_DESCRIPTOR)"
            ) from error
        finally:
            path.unlink(missing_ok=True)
        return json.dumps(
            {
                "written_rows": str(done.rows_written()),
                "written_bytes": str(done.bytes_written()),
                "elapsed_ns": str(int(done.elapsed() * 1e9)),
            }
        )

    def command(self, statement: Statement, call: Call) -> str:
        """Run a statement that answers with nothing and return the summary."""
        if statement.file_clause:
            raise EngineError.refuse(NOT_IMPLEMENTED, "FROM INFILE is for the client, not the server.")
        with self._handle(call) as handle:
            handle.query(statement.sql.decode(), DEFAULT_FORMAT, params=dict(call.parameters))
        return "{}"

    def rows(self, statement: Statement, call: Call, name: str) -> Generator[bytes]:
        """Yield the result in format `name`, piece by piece where the format allows it.

        The first piece comes after the first block is ready, so most errors are raised before it. Close the
        iterator when the client goes away: the query is then cancelled.
        """
        if statement.file_clause:
            raise EngineError.refuse(NOT_IMPLEMENTED, "INTO OUTFILE is for the client, not the server.")
        sql, parameters = statement.sql.decode(), dict(call.parameters)
        with self._handle(call) as handle:
            if statement.kind is Kind.SELECT and formats.is_chunked(name) and not statement.whole:
                yield from self._chunks(handle, sql, name, parameters)
            elif statement.kind is Kind.SELECT and formats.is_file(name):
                yield from self._spooled(handle, sql, name, parameters)
            else:
                yield handle.query(sql, name, params=parameters).bytes()

    def _chunks(self, handle: Any, sql: str, name: str, parameters: dict[str, str]) -> Iterator[bytes]:
        """Stream block by block; the header that chDB repeats in each block is sent once."""
        lines = formats.header_lines(name)
        header: bytes | None = None
        with handle.send_query(sql, name, params=parameters) as stream:
            for block in stream:
                piece: bytes = block.bytes()
                if header is None:
                    header = formats.split_header(piece, lines)
                else:
                    piece = piece.removeprefix(header)
                yield piece
        if header is None and lines:
            # A stream without rows has no block at all, hence no header.
            yield handle.query(sql, name, params=parameters).bytes()

    def _spooled(self, handle: Any, sql: str, name: str, parameters: dict[str, str]) -> Iterator[bytes]:
        """Let the engine write a file, so that an export never has to fit into memory, and read it back."""
        path = self._spool / f"{next(self._names)}.{name.lower()}"
        try:
            handle.query(f"{sql}\nINTO OUTFILE {_quote(str(path))} FORMAT {name}", params=parameters)
            with path.open("rb") as file:
                while piece := file.read(_FILE_CHUNK):
                    yield piece
        finally:
            path.unlink(missing_ok=True)
