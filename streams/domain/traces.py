"""Traces with OpenTelemetry, where they are switched on; else every call here returns at once.

A worker takes records of many traces at a time, so a batch is a trace of its own, linked to those of the
producers, and a block's insert is linked to its batches.
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

#: A batch may hold records of thousands of traces.
MAX_LINKS: Final = 32
_ADDRESSES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADER: Final = "traceparent"
_NOTHING: Final = nullcontext()

_tracer: Tracer | None = None


def wanted(environment: Mapping[str, str]) -> bool:
    """Say whether the environment names where traces go, in OpenTelemetry's own variables."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(environment.get(name) for name in _ADDRESSES)


def installed() -> bool:
    """Say whether the extra `otel` is there."""
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
    """Return what makes a span of a `with` block; attributes are named with `_` for `.`."""
    if _tracer is None:
        return _NOTHING
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    return _tracer.start_as_current_span(name, kind=kind, attributes=named, links=links)


def record_span(name: str, seconds: float, **attributes: Any) -> None:
    """Make a span of something that ended just now and took some seconds."""
    if _tracer is None:
        return
    now = time.time_ns()
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    began = now - int(seconds * 1e9)
    _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=named, start_time=began).end(now)


def current_links() -> list[Link]:
    """Return a link to the span that is under way, if there is one."""
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
