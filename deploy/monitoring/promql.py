"""PromQL over the registry's instruments: a name that is not in it cannot be written."""

from __future__ import annotations

from typing import Final

from streams.domain.instruments import Instrument, Kind

#: Grafana fills in what suits the zoom and the scrape interval.
WINDOW: Final = "$__rate_interval"


def selector(instrument: Instrument, where: str = "", part: str = "") -> str:
    """Return the series of an instrument, those that match `where`; `part` of a histogram."""
    name = f"{instrument.name}_{part}" if part else instrument.name
    assert name in instrument.series, f"{name} is no series of {instrument.name}"
    return f"{name}{{{where}}}" if where else name


def total(of: str, *by: str) -> str:
    """Add up series, one sum for each combination of the labels `by`."""
    return f"sum by ({', '.join(by)}) ({of})" if by else f"sum({of})"


def highest(of: str, *by: str) -> str:
    """Return the highest of the series, one for each combination of the labels `by`."""
    return f"max by ({', '.join(by)}) ({of})" if by else f"max({of})"


def rate(instrument: Instrument, *by: str, where: str = "", window: str = WINDOW) -> str:
    """Return how fast a counter, or the count of a histogram, rises each second."""
    part = "count" if instrument.kind is Kind.HISTOGRAM else ""
    return total(f"rate({selector(instrument, where, part)}[{window}])", *by)


def or_none(of: str) -> str:
    """Return 0 where a sum has no series, since what it counts has never happened."""
    return f"({of} or vector(0))"


def quantile(share: float, instrument: Instrument, *by: str, window: str = WINDOW) -> str:
    """Return a quantile of a histogram."""
    buckets = total(f"rate({selector(instrument, part='bucket')}[{window}])", "le", *by)
    return f"histogram_quantile({share:g}, {buckets})"


def mean(instrument: Instrument, *by: str, window: str = WINDOW) -> str:
    """Return the mean of a histogram."""
    sums = total(f"rate({selector(instrument, part='sum')}[{window}])", *by)
    return f"{sums} / {rate(instrument, *by, window=window)}"


def happened(instrument: Instrument, window: str, *by: str, where: str = "") -> str:
    """Return what rose within a window, also when it rose before Prometheus first looked."""
    series = selector(instrument, where)
    risen = total(f"increase({series}[{window}])", *by)
    fresh = total(f"{series} unless {series} offset {window}", *by)
    return f"{risen} > 0 or {fresh} > 0"
