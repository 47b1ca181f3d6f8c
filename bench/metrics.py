"""Reads the Prometheus metrics of a running program."""

from __future__ import annotations

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(address: str, name: str) -> list[Sample]:
    """Return the current samples of a name; a histogram has `_count` and `_sum`."""
    with urlopen(f"{address}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples if sample.name == name]
