"""Compares both stores with the oracle, event by event: what is lost, what is double, what differs."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis

from sinks.redis import keys
from tests.oracle.log import PLAYBACK, SYSTEM, USERS, Accepted, Log, read
from tests.oracle.log import Record as Sent
from tests.oracle.views import facts

TABLES = {PLAYBACK: "playback_events", USERS: "user_events", SYSTEM: "system_events"}
#: Measures of the roll-up by video; the same in Redis, by the minute.
MEASURES = (
    "attempts", "fatals", "views", "completions", "sized", "parts", "watched_ms", "rebuffer_ms", "rebuffers",
    "bitrate_weight", "bitrate_ms", "likes", "comments", "shares",
)  # fmt: skip

Counts = dict[tuple[Any, ...], int]


@dataclass
class Verdict:
    """The result: events lost and double in ClickHouse, and every count that differs in either store."""

    sent: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Say whether both stores match the oracle."""
        return not (self.lost or self.double or self.differs)

    def __str__(self) -> str:
        """Return the result in a few lines."""
        lines = [f"{self.sent} sent, {self.stored} stored, {len(self.lost)} lost, {len(self.double)} double"]
        lines += [f"lost: {', '.join(self.lost[:20])}"] if self.lost else []
        lines += [f"double: {', '.join(self.double[:20])}"] if self.double else []
        return "\n".join([*lines, *self.differs[:20]])


def judge(
    delivered: list[Sent],
    clickhouse_url: str,
    redis_url: str,
    cluster: str,
    since_minute: int,
    topic_end: str,
) -> Verdict:
    """Compare the contents of the stores with the delivered records.

    Args:
        delivered: the records that the stores must reflect, and no others, in the order of delivery.
        clickhouse_url: address with database.
        redis_url: address.
        cluster: id of the Kafka cluster.
        since_minute: live counters are compared from this minute on (since the epoch).
        topic_end: suffix of this episode's topic names.
    """
    log = read(delivered)
    ask = _asker(clickhouse_url)
    verdict = Verdict(sent=len(delivered))
    for topic, table in TABLES.items():
        expected = Counter(each.event["eventId"] for each in log.accepted if each.topic == topic)
        found = Counter(
            {name: n for name, n in ask(f"SELECT event_id, count() FROM {table} GROUP BY event_id")}
        )
        verdict.stored += found.total()
        verdict.lost += [f"{topic} {name}" for name in (expected - found)]
        verdict.double += [f"{topic} {name}" for name in (found - expected)]
    for name, (expect, query) in _ROLLUPS.items():
        got = {tuple(row[:-1]): int(row[-1]) for row in ask(query) if int(row[-1])}
        verdict.differs += _differences(f"ClickHouse {name}", expect(log), got)
    live = _live(log, since_minute)
    with redis.Redis.from_url(redis_url, decode_responses=True) as store:
        verdict.differs += _differences(
            "Redis", live, _live_in_redis(store, cluster, since_minute, topic_end)
        )
    return verdict


def _differences(where: str, expected: Counts, got: Counts) -> Iterator[str]:
    for key in sorted(expected.keys() | got.keys(), key=str):
        if expected.get(key, 0) != got.get(key, 0):
            yield f"{where} {key}: expected {expected.get(key, 0)}, has {got.get(key, 0)}"


def _asker(url: str) -> Callable[[str], list[list[Any]]]:
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}/?database={parts.path.strip('/')}"
    address += "&output_format_json_quote_64bit_integers=0"

    def ask(sql: str) -> list[list[Any]]:
        body = f"{sql} FORMAT JSONCompactEachRow".encode()
        with urllib.request.urlopen(address, body, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    return ask


def _videos(log: Log) -> Counts:
    found: Counts = defaultdict(int)
    for fact in facts(log).facts:
        found[fact.video, fact.at // 900_000, fact.measure] += fact.amount
    return {key: n for key, n in found.items() if n}


def _starts(log: Log) -> Counts:
    return dict(Counter((start.video, start.at, start.user) for start in facts(log).starts))


def _rows(log: Log) -> Counts:
    counted = Counter(each.topic for each in log.accepted)
    return {(topic,): n for topic, n in counted.items()}


def _people(log: Log) -> Iterator[Accepted]:
    return (each for each in log.accepted if each.topic in (PLAYBACK, USERS))


def _sessions(log: Log) -> Counts:
    pages: Counts = {}
    for each in _people(log):
        key = (each.at // 86_400_000,)
        pages[key] = pages.get(key, 0) + (each.event["type"] == "page.view")
    return {key: n for key, n in pages.items() if n}


def _users(log: Log) -> Counts:
    return {(): len({each.event["userId"] for each in _people(log)})}


def _actions(log: Log) -> Counts:
    names = {"video.like": "likes", "video.comment": "comments", "video.share": "shares"}
    found = Counter(
        (each.at // 900_000, names[each.event["type"]])
        for each in log.accepted
        if each.event["type"] in names
    )
    return dict(found)


def _signups(log: Log) -> Counts:
    return {(): sum(each.event["type"] == "user.signup" for each in log.accepted)}


def _requests(log: Log) -> Counts:
    found: Counts = defaultdict(int)
    for each in log.accepted:
        if each.topic == SYSTEM:
            where = (each.at // 60_000, each.event["service"])
            found[*where, "events"] += 1
            found[*where, "errors"] += each.event["status"] >= 500
            found[*where, "half_ms"] += round(each.event["durationMs"] * 2)
    return {key: n for key, n in found.items() if n}


def _measured(names: tuple[str, ...], table: str, keys_: str) -> str:
    pairs = ", ".join(f"('{name}', toInt64({name}))" for name in names)
    return f"SELECT {keys_}, pair.1, sum(pair.2) FROM {table} ARRAY JOIN [{pairs}] AS pair GROUP BY ALL"


#: Each roll-up: a function for its expected contents, and a query for the actual ones; the count comes last.
_ROLLUPS: dict[str, tuple[Callable[[Log], Counts], str]] = {
    "video_15m": (
        _videos,
        _measured(MEASURES, "video_15m", "video_id, intDiv(toUnixTimestamp(bucket), 900)"),
    ),
    "view_starts": (
        _starts,
        "SELECT video_id, toUnixTimestamp64Milli(started_at), user_id, count() FROM view_starts GROUP BY ALL",
    ),
    "ingested_offsets": (
        _rows,
        "SELECT extract(topic, '^[a-z]+.[a-z]+'), sum(rows) FROM ingested_offsets GROUP BY ALL",
    ),
    "session_days": (_sessions, "SELECT toUInt32(day), sum(pages) FROM session_days GROUP BY ALL"),
    "users": (_users, "SELECT uniqExact(user) FROM users"),
    "user_actions_15m": (
        _actions,
        _measured(
            ("likes", "comments", "shares"), "user_actions_15m", "intDiv(toUnixTimestamp(bucket), 900)"
        ),
    ),
    "signups": (_signups, "SELECT count() FROM signups"),
    "system_1m": (
        _requests,
        "SELECT intDiv(toUnixTimestamp(minute), 60), service, pair.1, sum(pair.2) FROM system_1m"
        " ARRAY JOIN [('events', events), ('errors', errors), ('half_ms', toUInt64(duration_ms * 2))] AS pair"
        " GROUP BY ALL",
    ),
}


def _live(log: Log, since: int) -> Counts:
    """Return the live counters by minute, video and measure, and the users who started a view."""
    found: Counts = defaultdict(int)
    told = facts(log)
    for fact in told.facts:
        minute = fact.at // 60_000
        if minute >= since:
            found[minute, fact.video, fact.measure] += fact.amount
            found[minute, "all", fact.measure] += fact.amount
            if fact.measure == "views":
                found[minute, fact.video, "top"] += fact.amount
    users: dict[tuple[int, str], set[str]] = defaultdict(set)
    for start in told.starts:
        if start.at // 60_000 >= since:
            users[start.at // 60_000, start.video].add(start.user)
    for (minute, video), names in users.items():
        found[minute, video, "users"] = len(names)
    return {key: n for key, n in found.items() if n}


def _live_in_redis(store: Any, cluster: str, since: int, topic_end: str) -> Counts:
    """Add up the live counters of every partition, reading each in the generation that its ledger names."""
    found: Counts = defaultdict(int)
    users: dict[tuple[int, str], set[str]] = defaultdict(set)
    for ledger in store.scan_iter(f"vc:{{{cluster}/*{topic_end}/*}}:ledger", count=1000):
        tag = ledger[len("vc:{") : -len("}:ledger")]
        prefix = keys.prefix(tag, int(store.hget(ledger, "generation") or 0))
        for key in store.scan_iter(f"{_literal(prefix)}*", count=1000):
            kind, _, rest = key[len(prefix) :].partition(":")
            minute, _, video = rest.partition(":")
            if kind not in ("t", "v", "u", "top") or int(minute) < since:
                continue
            if kind == "u":
                users[int(minute), video] |= store.smembers(key)
            elif kind == "top":
                for name, views in store.zrange(key, 0, -1, withscores=True):
                    found[int(minute), name, "top"] += int(views)
            else:
                for name, value in store.hgetall(key).items():
                    if ":" not in name:
                        found[int(minute), video or "all", name] += int(value)
    for (minute_, video_), members in users.items():
        found[minute_, video_, "users"] = len(members)
    return {key: n for key, n in found.items() if n}


def _literal(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in text)
