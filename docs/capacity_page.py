"""Makes docs/capacity.md from docs/capacity.md.in: how much a rate of events needs, from what one costs."""

from __future__ import annotations

from math import ceil, log10
from pathlib import Path
from typing import Final

#: CPU microseconds per event, as in docs/performance.md; a test keeps both in agreement.
COSTS: Final = {"pipeline": 7.8, "ClickHouse": 4.5, "Redis": 1.7, "broker": 1.0}
#: Bytes per playback event, in Kafka and in ClickHouse's raw table, and per view in all roll-ups. Measured
#: with 300,000 events of `make bench`: 50,000 views of as many sessions and users, after merges.
EVENT_BYTES, RAW_BYTES, VIEW_BYTES = 400, 62, 88
#: Maximum share of a core to plan for: the rest is reserve for bursts and for catching up.
BUSY: Final = 0.6
#: Seconds between two events of a view, and events of a whole view.
HEARTBEAT, EVENTS_A_VIEW = 10, 30
RATES: Final = (1_000, 10_000, 100_000, 1_000_000)
_RAW_DAYS, _KAFKA_DAYS, _COPIES = 30, 3, 2
#: Bytes per row in an insert into ClickHouse.
_ROW_BYTES: Final = 284
_CORES: Final = 16


def cores(rate: float, part: str) -> float:
    """Return the cores that a part needs at a rate of events a second, with room to spare."""
    return rate * COSTS[part] / 1e6 / BUSY


def _size(count: float) -> str:
    """Write bytes with two or three digits."""
    power = min(max(0, int(log10(count)) // 3), 5)
    number = count / 1000**power
    return f"{number:.{0 if number >= 10 else 1}f} {('', 'K', 'M', 'G', 'T', 'P')[power]}B"


def _rows() -> list[str]:
    lines = [f"| events/s | {' | '.join(f'{rate:,}' for rate in RATES)} |", "|---|" + "---|" * len(RATES)]

    def row(name: str, cells: list[str]) -> None:
        lines.append(f"| {name} | {' | '.join(cells)} |")

    row("concurrent viewers", [f"{rate * HEARTBEAT:,}" for rate in RATES])
    row("workers, one core each", [str(ceil(cores(rate, "pipeline"))) for rate in RATES])
    row("cores of Redis (one per node)", [str(ceil(cores(rate, "Redis"))) for rate in RATES])
    row(
        "cores of ClickHouse for inserts and merges",
        [str(ceil(cores(rate, "ClickHouse"))) for rate in RATES],
    )
    row("into Kafka, per second", [_size(rate * EVENT_BYTES) for rate in RATES])
    row(f"in Kafka, {_KAFKA_DAYS} days", [_size(rate * EVENT_BYTES * 86_400 * _KAFKA_DAYS) for rate in RATES])
    row(f"raw events, {_RAW_DAYS} days", [_size(rate * RAW_BYTES * 86_400 * _RAW_DAYS) for rate in RATES])
    row("roll-ups, a year", [_size(rate / EVENTS_A_VIEW * VIEW_BYTES * 86_400 * 365) for rate in RATES])
    return lines


def page() -> str:
    """Return docs/capacity.md."""
    top = RATES[-1]
    workers, clickhouse = ceil(cores(top, "pipeline")), ceil(cores(top, "ClickHouse"))
    # Half of ClickHouse's cores are for questions.
    shards = ceil(2 * clickhouse / _CORES)
    partitions = ceil(2 * workers / shards / 8) * shards * 8
    raw, kafka = top * RAW_BYTES * 86_400 * _RAW_DAYS, top * EVENT_BYTES * 86_400 * _KAFKA_DAYS
    values = {
        "worker_us": COSTS["pipeline"],
        "clickhouse_us": COSTS["ClickHouse"],
        "redis_us": COSTS["Redis"],
        "event_bytes": EVENT_BYTES,
        "raw_bytes": RAW_BYTES,
        "view_bytes": VIEW_BYTES,
        "events_a_view": EVENTS_A_VIEW,
        "heartbeat": HEARTBEAT,
        "busy": f"{BUSY:.0%}",
        "table": "\n".join(_rows()),
        "one_server": f"{_CORES / 2 * BUSY / COSTS['ClickHouse'] * 100 // 1 * 10_000:,.0f}",
        "cores": _CORES,
        "top": f"{top:,}",
        "worker_cores": f"{top * COSTS['pipeline'] / 1e6:.1f}",
        "workers": workers,
        "each_worker": f"{top / workers:,.0f}",
        "partitions": partitions,
        "partitions_each": f"{partitions / workers:.0f}",
        "redis_cores": f"{top * COSTS['Redis'] / 1e6:.1f}",
        "redis": ceil(cores(top, "Redis")),
        "clickhouse_cores": f"{top * COSTS['ClickHouse'] / 1e6:.1f}",
        "clickhouse": clickhouse,
        "shards_of": f"{shards} shard{'s' if shards > 1 else ''}",
        "block_rows": f"{top / partitions:,.0f}",
        "inserts": f"{partitions / shards:.0f}",
        "raw_days": _RAW_DAYS,
        "raw": _size(raw),
        "raw_shard": _size(raw / shards),
        "kafka_in": _size(top * EVENT_BYTES),
        "kafka_days": _KAFKA_DAYS,
        "kafka": _size(kafka),
        "copies": _COPIES,
        "kafka_disk": _size(kafka / 3 * _COPIES),
        "bits_in": _size(top * EVENT_BYTES * 8).replace("B", "bit"),
        "bits_out": _size(top * _ROW_BYTES * 8).replace("B", "bit"),
    }
    return (Path(__file__).parent / "capacity.md.in").read_text("utf-8").format(**values)
