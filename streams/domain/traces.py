"""Traces with OpenTelemetry; while they are switched off, every function here returns at once.

A batch has records of many traces. So it is a trace of its own, with links to the traces of the producers,
and the insert of a block has links to its batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import Link, SpanKind, Tracer

#: Links of a batch, at most: it may have records of thousands of traces.
MAX_LINKS: Final = 32
_ADDRESSES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADER: Final = "traceparent"
_NOTHING: Final = nullcontext()

_tracer: Tracer | None = None


def wanted(environment: Mapping[str, str]) -> bool:
    """Say whether OpenTelemetry's own environment variables name a destination for traces."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(environment.get(name) for name in _ADDRESSES)


def installed() -> bool:
    """Say whether the extra `otel` is installed."""
    return find_spec("opentelemetry.sdk") is not None and find_spec("opentelemetry.exporter") is not None


def switch_on(tracer: Tracer | None = None) -> None:
    """Make spans from now on, with the global provider's tracer unless another one is given."""
    global _tracer
    _tracer = tracer or trace.get_tracer("videocloud")


def switch_off() -> None:
    """Make no spans any more."""
    global _tracer
    _tracer = None


def span(
    name: str, links: Sequence[Link] = (), *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any
) -> AbstractContextManager[Any]:
    """Return a context manager that makes a span; in names of attributes, `_` stands for `.`."""
    if _tracer is None:
        return _NOTHING
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    return _tracer.start_as_current_span(name, kind=kind, attributes=named, links=links)


def record_span(name: str, seconds: float, **attributes: Any) -> None:
    """Add a span of something that took `seconds` and ended just now."""
    if _tracer is None:
        return
    now = time.time_ns()
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    began = now - int(seconds * 1e9)
    _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=named, start_time=began).end(now)


def current_links() -> list[Link]:
    """Return a link to the current span, if there is one."""
    context = trace.get_current_span().get_span_context() if _tracer is not None else None
    return [Link(context)] if context is not None and context.is_valid else []


def links_of(records: Iterable[Any]) -> list[Link]:
    """Return links to the first distinct traces that records carry in their Kafka headers."""
    if _tracer is None:
        return []
    found: dict[bytes, None] = {}
    for record in records:
        for name, value in getattr(record, "headers", None) or ():
            if name == _HEADER and value not in found:
                found[value] = None
        if len(found) >= MAX_LINKS:
            break
    return [link for value in found for link in _linked(value)]


def _linked(value: bytes) -> list[Link]:
    carrier = {_HEADER: value.decode("ascii", "replace")}
    context = trace.get_current_span(extract(carrier)).get_span_context()
    return [Link(context)] if context.is_valid else []
