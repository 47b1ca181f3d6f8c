"""The API's Prometheus metrics; the definitions are in `streams.domain.instruments`."""

from __future__ import annotations

from typing import Final

from streams.domain import instruments as define
from streams.domain import traces
from streams.domain.instruments import counter, gauge, histogram

REQUESTS: Final = counter(define.REQUESTS)
REQUEST_SECONDS: Final = histogram(define.REQUEST_SECONDS)
STREAMS: Final = gauge(define.STREAMS)
EXPORTS: Final = counter(define.EXPORTS)
EXPORT_SECONDS: Final = histogram(define.EXPORT_SECONDS)
REPORTS_DROPPED: Final = counter(define.REPORTS_DROPPED)
_QUERY_SECONDS: Final = histogram(define.QUERY_SECONDS)
_QUERY_FAILURES: Final = counter(define.QUERY_FAILURES)
_CACHE: Final = counter(define.CACHE)

# Series start at 0: in a series that begins with 3, Prometheus sees no increase.
for _outcome in ("completed", "failed"):
    EXPORTS.labels(_outcome)
for _store in ("redis", "clickhouse"):
    _QUERY_FAILURES.labels(_store)


def observe_query(store: str, seconds: float, answered: bool) -> None:
    """Record a query to a store."""
    traces.record_span(f"ask {store}", seconds, answered=answered)
    _QUERY_SECONDS.labels(store).observe(seconds)
    if not answered:
        _QUERY_FAILURES.labels(store).inc()


def observe_lookup(cache: str, found: bool) -> None:
    """Record a look-up in a cache."""
    _CACHE.labels(cache, "hit" if found else "miss").inc()
