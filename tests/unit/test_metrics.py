"""The registry: formulas, what they need, and what `metrics=` may ask for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from docs import schema_page
from streams.domain import definitions, metrics
from streams.domain.definitions import METRICS, VIDEO
from streams.domain.errors import InvalidMetricsError
from streams.domain.events import TAGS
from streams.domain.measures import MEASURES, Anchor, Formula, anchored
from streams.domain.metrics import SUMMARY_MEASURES, change, groups_of, measures_of, value
from streams.domain.rows import PlaybackRow, columns

SUMS = {
    "attempts": 200,
    "fatals": 3,
    "views": 150,
    "completions": 60,
    "sized": 100,
    "parts": 6_000,
    "watched_ms": 9_000_000,
    "rebuffer_ms": 1_000_000,
    "bitrate_weight": 22_500_000_000,
    "bitrate_ms": 9_000_000,
    "likes": 20,
    "comments": 7,
    "shares": 3,
}


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        (definitions.VIEWS, 150),
        (definitions.WATCH_TIME, 9000.0),
        (definitions.AVERAGE_WATCH_TIME, 60.0),
        (definitions.COMPLETION_RATE, 0.4),
        (definitions.BUFFERING_RATE, 0.1),
        (definitions.ERROR_RATE, 0.015),
        (definitions.SHARE_WATCHED, 0.6),
        (definitions.REACTION_RATE, 0.2),
        (definitions.ENGAGEMENT, 0.52),
    ],
)
def test_formulas_are_what_they_say(formula: Formula, wanted: float) -> None:
    assert value(formula, SUMS) == wanted


def test_a_bitrate_is_told_in_whole_kilobits() -> None:
    assert metrics.bitrate(SUMS) == "2500k"
    assert metrics.bitrate({"bitrate_weight": 0, "bitrate_ms": 10}) == "0k"
    assert metrics.bitrate({}) is None


def test_counts_are_zero_and_ratios_null_when_there_is_nothing() -> None:
    for metric in METRICS:
        if metric.formula:
            wanted = {definitions.ZERO: 0, definitions.EMPTY: 0, definitions.NULL: None}[metric.empty]
            assert value(metric.formula, {}) == wanted, metric.field


def test_reactions_count_at_most_once_a_view() -> None:
    assert value(definitions.ENGAGEMENT, SUMS | {"likes": 10_000}) == 0.68


def test_engagement_is_unknown_where_no_length_is() -> None:
    assert value(definitions.ENGAGEMENT, SUMS | {"sized": 0}) is None


def test_change_is_relative_and_null_without_a_before() -> None:
    assert change(115, 100) == 0.15
    assert change(0, 10) == -1
    assert change(5, 0) is None
    assert change(None, 3) is None
    assert change(3, None) is None
    assert change(4, 3) == 0.333333


def test_measures_are_columns_of_the_raw_table_or_reactions() -> None:
    deltas = {name.removeprefix("d_") for name in columns(PlaybackRow) if name.startswith("d_")}
    reactions = {each.name: each.event for each in anchored(MEASURES, Anchor.REACTION)}
    assert set(MEASURES) == deltas | reactions.keys()
    assert set(reactions.values()) <= set(TAGS.values())


def test_every_group_is_asked_by_name_once_and_in_order() -> None:
    assert groups_of(VIDEO, None) == ("views", "engagement", "performance")
    assert groups_of(VIDEO, ["performance, views", "views"]) == ("views", "performance")
    assert groups_of(definitions.USERS, ["growth"]) == ("growth",)


@pytest.mark.parametrize(
    "asked", [[""], [","], ["views,"], ["view"], ["VIEWS"], ["views;--"], ["activity"], []]
)
def test_groups_that_do_not_exist_are_refused(asked: list[str]) -> None:
    with pytest.raises(InvalidMetricsError) as caught:
        groups_of(VIDEO, asked)
    assert caught.value.details["allowed"] == ["views", "engagement", "performance"]


def test_only_what_is_asked_for_is_read() -> None:
    assert measures_of(VIDEO, ["views"]) == ("views",)
    assert measures_of(VIDEO, ["performance"]) == (
        "attempts",
        "bitrate_ms",
        "bitrate_weight",
        "fatals",
        "rebuffer_ms",
        "watched_ms",
    )


@pytest.mark.parametrize(
    ("table", "measures"),
    [("video_15m", MEASURES), ("video_days", SUMMARY_MEASURES), ("all_videos_15m", SUMMARY_MEASURES)],
)
def test_a_roll_up_of_videos_has_a_column_for_each_measure(table: str, measures: Iterable[str]) -> None:
    (found,) = (each for each in schema_page.tables() if each.name == table)
    dimensions = {"day", "bucket", "video_id", "country", "device", "platform"}
    assert {name for name, *_ in found.columns} - dimensions == set(measures)
