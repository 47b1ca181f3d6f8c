"""Traces from producers' headers to the insert, where they are wanted, and none elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from api.telemetry import tracing_config
from sinks.memory import MemoryStore
from streams import tracing
from streams.domain import traces
from tests.pipeline.bench import NOW, Bench, Log, Raw, view

TRACE = "0af7651916cd43dd8448eb211c80319c"


def log(events: int = 12) -> Log:
    made = Log()
    for number in range(events // 6):
        for event in view(f"v{number}", int(NOW * 1000) - 60_000):
            made.append(event, int(NOW * 1000))
    made.records = [
        Raw(
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            [("traceparent", f"00-{TRACE[:-2]}{record.offset // 4:02x}-b7ad6b7169203331-01".encode())],
        )
        for record in made.records
    ]
    return made


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.switch_on(provider.get_tracer("test"))
    yield exporter
    traces.switch_off()


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


async def test_a_producers_trace_leads_to_the_batch_and_on_to_the_insert(spans: InMemorySpanExporter) -> None:
    await Bench(log(), MemoryStore()).run([6])
    batches, inserts = named(spans, "take batch"), named(spans, "insert block")
    assert [(batch.attributes or {})["offset.from"] for batch in batches] == [0, 6]
    assert {(batch.attributes or {})["topic"] for batch in batches} == {"playback.events"}
    producers = [f"{link.context.trace_id:032x}" for batch in batches for link in batch.links]
    assert sorted(set(producers)) == [f"{TRACE[:-2]}{number:02x}" for number in range(3)]
    taken = {batch.context.span_id for batch in batches if batch.context}
    assert {link.context.span_id for insert in inserts for link in insert.links} == taken
    assert sum(int(str((insert.attributes or {})["rows"])) for insert in inserts) == 12
    counts = named(spans, "count")
    assert {count.parent.span_id for count in counts if count.parent} == taken


async def test_of_a_batch_with_many_traces_the_first_are_linked(spans: InMemorySpanExporter) -> None:
    await Bench(log(600), MemoryStore()).run([600])
    (batch,) = named(spans, "take batch")
    assert len(batch.links) == traces.MAX_LINKS


def test_a_broken_header_is_no_link(spans: InMemorySpanExporter) -> None:
    broken = [Raw(0, 0, None, b"", [("traceparent", value)]) for value in (b"", b"\xff", b"00-0-0-00")]
    assert traces.links_of(broken) == []


async def test_nothing_is_made_of_it_while_it_is_off() -> None:
    assert traces.span("x") is traces.span("y", topic="z")
    assert traces.links_of(log().records) == traces.current_links() == []
    await Bench(log(), MemoryStore()).run([6])


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_opentelemetrys_own_variables_switch_it_on(environment: dict[str, str], wanted: bool) -> None:
    assert traces.wanted(environment) is wanted


def test_a_worker_without_the_extra_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(traces, "installed", lambda: False)
    structlog.reset_defaults()
    with capture_logs() as said:
        tracing.configure()()
        assert tracing_config()["auto_configure"] is False
    assert ["videocloud-analytics[otel]" in line["event"] for line in said] == [True, True]
    assert traces.span("x") is traces.span("y")
