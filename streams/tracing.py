"""Export of the worker's traces, set up once at the start from OpenTelemetry's own variables."""

from __future__ import annotations

import os
from collections.abc import Callable

import structlog

from streams.domain import traces

log = structlog.get_logger(__name__)


def configure() -> Callable[[], None]:
    """Export traces if the environment names a destination; return the function that flushes the last ones.

    The service is `OTEL_SERVICE_NAME`, by default `videocloud-worker`.
    """
    if not traces.wanted(os.environ):
        return lambda: None
    if not traces.installed():
        log.warning("traces are not sent: install `videocloud-analytics[otel]`")
        return lambda: None
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "videocloud-worker"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    traces.switch_on()
    return provider.shutdown
