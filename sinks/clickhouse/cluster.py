"""The schema of one server spread over a cluster: replicated tables on every node, one name to read them all.

Pure: statements of the migrations in, statements for a cluster out. Table `x` becomes

- `x_local`, with a `Replicated...` engine, on every node: blocks are inserted into it, and views read it;
- `x`, with the `Distributed` engine: queries read it, so all SQL stays as it is. It has no sharding key, so
  it refuses an insert without a shard: a block is never split
  (docs/decisions/0016-blocks-stay-on-one-shard.md).

Tables of `MERGED` are read with `FINAL`, which merges within a shard only: there, `x` is a view that
merges the shards of the `Distributed` table `x_shards`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from streams.domain.errors import MigrationError

#: Suffix of the tables that each node has for itself.
LOCAL: Final = "_local"
_SHARDS: Final = "_shards"
#: Tables whose readers need one row per key, over all shards.
MERGED: Final = frozenset({"users", "jobs"})
#: Keeper drops older tokens, however few there are; ClickHouse's default is an hour.
_WINDOW_SECONDS: Final = 30 * 86_400

_CLUSTER: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_COMMENTS: Final = r"(?P<comments>(?:\s|--[^\n]*\n|/\*.*?\*/)*)"
_TABLE: Final = re.compile(
    rf"\A{_COMMENTS}CREATE TABLE (?:IF NOT EXISTS )?(?P<name>\w+)\s*(?P<body>\(.*?^\))\s*"
    r"ENGINE = (?P<engine>\w+)(?:\((?P<arguments>[^()]*)\))?(?P<rest>.*)\Z",
    re.DOTALL | re.MULTILINE,
)
_MATERIALIZED_VIEW: Final = re.compile(
    rf"\A{_COMMENTS}CREATE MATERIALIZED VIEW (?:IF NOT EXISTS )?(?P<name>\w+) TO (?P<to>\w+)(?P<rest>.*)\Z",
    re.DOTALL,
)
_VIEW: Final = re.compile(
    rf"\A{_COMMENTS}(?P<create>CREATE (?:OR REPLACE VIEW|VIEW(?: IF NOT EXISTS)?)) (?P<name>\w+)"
    r"(?P<rest>.*)\Z",
    re.DOTALL,
)
_ALTER: Final = re.compile(rf"\A{_COMMENTS}ALTER TABLE (?P<name>\w+)(?P<rest>.*)\Z", re.DOTALL)
_TRUNCATE: Final = re.compile(rf"\A{_COMMENTS}TRUNCATE TABLE (?P<name>\w+)\s*\Z", re.DOTALL)
_INSERT_SELECT: Final = re.compile(
    rf"\A{_COMMENTS}INSERT INTO (?P<name>\w+)\s+(?P<rest>SELECT\b.*)\Z", re.DOTALL
)
_SOURCE: Final = re.compile(r"\b(FROM|JOIN)(\s+)(\w+)\b")
_KEY: Final = re.compile(r"ORDER BY \(?([\w, ]+)\)?")
_MERGES: Final = re.compile(r"^ {4}(\w+)\s+SimpleAggregateFunction\((\w+), ", re.MULTILINE)
#: The alterations that a Distributed table supports.
_COLUMNS_ONLY: Final = re.compile(r"\A\s*(ADD|DROP|MODIFY|RENAME|COMMENT) COLUMN\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of the server's configuration, and the database that is spread over it."""

    name: str
    database: str

    def __post_init__(self) -> None:
        """Raise MigrationError for an invalid name, because it goes into statements."""
        if not _CLUSTER.fullmatch(self.name):
            raise MigrationError(f"{self.name!r} cannot be a cluster: see remote_servers in ClickHouse.")

    @property
    def on(self) -> str:
        """Return the clause that runs a statement on every node."""
        return f"ON CLUSTER '{self.name}'"

    def spread(self, statement: str, tables: frozenset[str]) -> list[str]:
        """Return the statements for the cluster that correspond to one statement for a server.

        `tables` are the names of all tables that have a local one. Raises `MigrationError` for a statement
        that this module does not know how to spread.
        """
        if match := _TABLE.match(statement):
            return list(self._table(match))
        if match := _MATERIALIZED_VIEW.match(statement):
            rest = _to_local(match["rest"], tables)
            head = f"{match['comments']}CREATE MATERIALIZED VIEW IF NOT EXISTS {match['name']}"
            return [f"{head} {self.on} TO {match['to']}{LOCAL}{rest}"]
        if match := _VIEW.match(statement):
            return [f"{match['comments']}{match['create']} {match['name']} {self.on}{match['rest']}"]
        if match := _ALTER.match(statement):
            return list(self._alter(match, tables))
        if match := _TRUNCATE.match(statement):
            return [f"{match['comments']}TRUNCATE TABLE {match['name']}{LOCAL} {self.on}"]
        if (match := _INSERT_SELECT.match(statement)) and match["name"] in tables - MERGED:
            return [self._insert_select(match)]
        raise MigrationError(f"This cannot be spread over a cluster: {statement[:200]}")

    @staticmethod
    def _insert_select(match: re.Match[str]) -> str:
        """Return an INSERT SELECT that reads all shards once and inserts into the first.

        Readers see no difference, because they add up over shards.
        """
        settings = "insert_shard_id = 1, distributed_product_mode = 'global'"
        return (
            f"{match['comments']}INSERT INTO {match['name']}\n{match['rest'].rstrip()}\nSETTINGS {settings}"
        )

    def _table(self, match: re.Match[str]) -> Iterator[str]:
        name, engine, rest = match["name"], match["engine"], match["rest"]
        head = f"{match['comments']}CREATE TABLE IF NOT EXISTS {name}{LOCAL} {self.on}\n{match['body']}\n"
        if engine == "Null":
            # It stores nothing, so no query reads it.
            yield f"{head}ENGINE = Null{rest}"
            return
        arguments = ["'/clickhouse/tables/{shard}/{database}/{table}'", "'{replica}'"]
        arguments += [match["arguments"]] if match["arguments"] else []
        window = re.sub(
            r"non_replicated_deduplication_window = (\d+)",
            r"replicated_deduplication_window = \1, "
            f"replicated_deduplication_window_seconds = {_WINDOW_SECONDS}",
            rest,
        )
        yield f"{head}ENGINE = Replicated{engine}({', '.join(arguments)}){window}"
        whole = f"{name}{_SHARDS}" if name in MERGED else name
        yield (
            f"CREATE TABLE IF NOT EXISTS {whole} {self.on} AS {name}{LOCAL}\n"
            f"ENGINE = Distributed('{self.name}', '{self.database}', '{name}{LOCAL}')"
        )
        if name in MERGED:
            yield self._merged(name, match["body"], rest)

    def _merged(self, name: str, body: str, rest: str) -> str:
        """Return the view with one row per key over all shards."""
        found = _KEY.search(rest)
        assert found, f"{name} has no sorting key"
        key = found[1]
        columns = [f"{function}({column}) AS {column}" for column, function in _MERGES.findall(body)]
        return (
            f"CREATE VIEW IF NOT EXISTS {name} {self.on} AS\n"
            f"SELECT {', '.join([key, *columns])}\nFROM {name}{_SHARDS}\nGROUP BY {key}"
        )

    def _alter(self, match: re.Match[str], tables: frozenset[str]) -> Iterator[str]:
        name, rest = match["name"], match["rest"]
        if name not in tables:
            # A materialized view keeps its name.
            yield f"{match['comments']}ALTER TABLE {name} {self.on}{_to_local(rest, tables)}"
            return
        yield f"{match['comments']}ALTER TABLE {name}{LOCAL} {self.on}{rest}"
        if name in MERGED:
            raise MigrationError(
                f"{name} is a view in a cluster: write how it changes in sinks.clickhouse.cluster."
            )
        if _COLUMNS_ONLY.match(rest):
            yield f"ALTER TABLE {name} {self.on}{rest}"


def check(cluster: Cluster, replicates: Sequence[int], macros: Collection[str]) -> None:
    """Raise MigrationError for a cluster whose configuration would lose or double rows.

    Args:
        cluster: the cluster to check.
        replicates: `internal_replication` of each of its replicas, from `system.clusters`.
        macros: names of the macros of a node.
    """
    name = cluster.name
    if not replicates:
        raise MigrationError(
            f"ClickHouse knows no cluster {name!r}: CLICKHOUSE_CLUSTER is one of remote_servers in its "
            "configuration (SELECT cluster FROM system.clusters)."
        )
    if not all(replicates):
        raise MigrationError(
            f"Every shard of {name!r} needs <internal_replication>true</internal_replication>: without it a "
            "block is sent to all replicas, which replicate it to each other besides."
        )
    if missing := sorted({"shard", "replica"} - set(macros)):
        raise MigrationError(
            f"ClickHouse has no macro {' and no macro '.join(missing)}: each node needs <macros> with its "
            "own <shard> and <replica>."
        )


def table_of(statement: str) -> str | None:
    """Return the table that a statement creates, None when it creates none."""
    match = _TABLE.match(statement)
    return match["name"] if match else None


def _to_local(select: str, tables: Collection[str]) -> str:
    """Make a query read the node's own tables."""

    def local(match: re.Match[str]) -> str:
        keyword, space, name = match.groups()
        return f"{keyword}{space}{name}{LOCAL if name in tables else ''}"

    return _SOURCE.sub(local, select)
