"""PromQL over the registry's instruments: a query cannot name a metric that is not registered."""

from __future__ import annotations

from typing import Final

from streams.domain.instruments import Instrument, Kind

#: Grafana replaces it with a window that suits the time range and the scrape interval.
WINDOW: Final = "$__rate_interval"
#: The start of a process, in epoch seconds, as the Prometheus client exposes it.
STARTED: Final = "process_start_time_seconds"


def selector(instrument: Instrument, where: str = "", part: str = "") -> str:
    """Return an instrument's series that match `where`; `part` selects a series of a histogram."""
    name = f"{instrument.name}_{part}" if part else instrument.name
    assert name in instrument.series, f"{name} is no series of {instrument.name}"
    return f"{name}{{{where}}}" if where else name


def total(of: str, *by: str) -> str:
    """Return the sum of the series for each combination of the labels `by`."""
    return f"sum by ({', '.join(by)}) ({of})" if by else f"sum({of})"


def highest(of: str, *by: str) -> str:
    """Return the maximum of the series for each combination of the labels `by`."""
    return f"max by ({', '.join(by)}) ({of})" if by else f"max({of})"


def rate(instrument: Instrument, *by: str, where: str = "", window: str = WINDOW) -> str:
    """Return the rate per second of a counter, or of a histogram's count."""
    part = "count" if instrument.kind is Kind.HISTOGRAM else ""
    return total(f"rate({selector(instrument, where, part)}[{window}])", *by)


def or_none(of: str) -> str:
    """Return 0 where a sum has no series because nothing was counted yet."""
    return f"({of} or vector(0))"


def quantile(share: float, instrument: Instrument, *by: str, window: str = WINDOW) -> str:
    """Return a quantile of a histogram."""
    buckets = total(f"rate({selector(instrument, part='bucket')}[{window}])", "le", *by)
    return f"histogram_quantile({share:g}, {buckets})"


def mean(instrument: Instrument, *by: str) -> str:
    """Return the mean of a histogram."""
    sums = total(f"rate({selector(instrument, part='sum')}[{WINDOW}])", *by)
    return f"{sums} / {rate(instrument, *by)}"


def happened(instrument: Instrument, minutes: int, *by: str, where: str = "") -> str:
    """Return the increase within some minutes, including an increase before the first scrape of a series.

    A series that was not there before those minutes is new, unless its process is older than them and was not
    scraped then: after one failed scrape, each count of the past would be one of now.
    """
    series, window = selector(instrument, where), f"{minutes}m"
    risen = total(f"increase({series}[{window}])", *by)
    unseen = f"{STARTED} < time() - {60 * minutes} unless {STARTED} offset {window}"
    fresh = total(f"{series} unless {series} offset {window} unless on (job, instance) ({unseen})", *by)
    return f"{risen} > 0 or {fresh} > 0"
