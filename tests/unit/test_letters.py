"""Which dead letters are sent again: each record once, and none for ever."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from rich.console import Console

from deploy.operations.letters import Letter, Wanted, headers_again, marker, plan, read_letter, read_marker
from deploy.operations.replay_command import _show
from sinks.base import Partition
from streams.dead_letter import headers_of
from streams.domain.arrivals import Rejected
from tests.pipeline.bench import Raw

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
#: Timestamp of a letter, which is later than its record.
SENT = int(AT.timestamp() * 1000) + 86_400_000
TOPICS = ("user.events", "playback.events")


def letter(offset: int, topic: str = "user.events", *, of: int | None = None, **changes: Any) -> Letter:
    values: dict[str, Any] = {
        "partition": 0,
        "offset": offset,
        "origin": ("c", topic, 1, offset if of is None else of),
        "error": "Invalid",
        "reason": "no `seq`",
        "timestamp": int(changes.pop("at", AT).timestamp() * 1000),
        "replays": 0,
        "truncated": False,
    }
    return Letter(**(values | changes))


def sent(
    letters: list[Letter], replayed: set[tuple[int, int]] | None = None, wanted: Wanted | None = None
) -> list[int]:
    return [each.offset for each in plan(letters, replayed or set(), wanted or Wanted(), TOPICS).send]


def test_a_record_with_two_letters_is_sent_once() -> None:
    assert sent([letter(0, of=7), letter(1, of=7), letter(2, of=8)]) == [0, 2]


def test_what_a_marker_names_is_not_sent_again_nor_is_its_double() -> None:
    assert sent([letter(0, of=7), letter(1, of=7), letter(2, of=8)], {(0, 0)}) == [2]


def test_reasons_that_are_all_different_are_listed_to_a_hundred() -> None:
    some = [
        letter(number, reason=f"what {number} says", at=AT - timedelta(hours=number))
        for number in range(3_000)
    ]
    table = plan([*some, letter(9_000), letter(9_001)], set(), Wanted(), TOPICS).table()
    assert len(table) == 101 and sum(row[3] for row in table) == 3_002
    assert table[0][2:4] == ("no `seq`", 2)
    topic, error, reason, count, first, last = table[-1]
    assert (topic, error, reason, count) == ("", "", "", 2_901)
    assert first == AT - timedelta(hours=2_999) and last > first


def test_what_many_letters_have_alike_is_kept_once() -> None:
    rejected = Rejected(Raw(41, SENT, b"k", b"value"), "Invalid", "no `seq`")
    headers = tuple(headers_of(Partition("a cluster", "user.events", 1), rejected))
    one, other = (read_letter(number, Raw(5, SENT, b"k", b"value", headers)) for number in (0, 1))
    assert one is not None and other is not None
    assert one.reason is other.reason and one.error is other.error
    assert one.origin[0] is other.origin[0] and one.origin[1] is other.origin[1]


def test_what_came_back_is_left_alone_unless_asked_for() -> None:
    letters = [letter(0), letter(1, replays=1), letter(2, replays=4)]
    assert sent(letters) == [0]
    assert sent(letters, wanted=Wanted(again=True)) == [0, 1, 2]


def test_what_cannot_be_sent_is_left_out_with_the_reason() -> None:
    bad = [letter(0, truncated=True), letter(1, "other.events"), letter(2, error="Unreadable")]
    found = plan(bad, set(), Wanted(), TOPICS)
    assert found.send == []
    assert set(found.left_out) == {
        "too large to be kept whole",
        "from topics that the worker does not read",
        "batches that cannot be unpacked",
    }


def test_every_filter_leaves_out_what_does_not_match() -> None:
    letters = [
        letter(0),
        letter(1, "playback.events"),
        letter(2, error="NotJson"),
        letter(3, reason="no `type`"),
        letter(4, at=AT + timedelta(hours=1)),
    ]
    assert sent(letters, wanted=Wanted(topics=["playback.events"])) == [1]
    assert sent(letters, wanted=Wanted(errors=["NotJson"])) == [2]
    assert sent(letters, wanted=Wanted(reason="type")) == [3]
    assert sent(letters, wanted=Wanted(since=AT + timedelta(minutes=1))) == [4]
    assert sent(letters, wanted=Wanted(until=AT + timedelta(minutes=1))) == [0, 1, 2, 3]


def test_the_table_adds_up_what_is_alike_most_first() -> None:
    letters = [letter(0, error="NotJson"), letter(1), letter(2, at=AT + timedelta(hours=1))]
    assert plan(letters, set(), Wanted(), TOPICS).table() == [
        ("user.events", "Invalid", "no `seq`", 2, AT, AT + timedelta(hours=1)),
        ("user.events", "NotJson", "no `seq`", 1, AT, AT),
    ]


def test_a_letter_is_read_as_the_worker_wrote_it_and_counts_how_often_it_was_sent_again() -> None:
    record = Raw(41, int(AT.timestamp() * 1000), b"k", b"value")
    headers = headers_of(Partition("c", "user.events", 1), Rejected(record, "Invalid", "no `seq`"))
    first = read_letter(2, Raw(5, SENT, b"k", b"value", tuple(headers)))
    assert first == letter(5, of=41, partition=2)

    again = Raw(90, record.timestamp, b"k", b"value", tuple(headers_again(first, "events.deadletter")))
    headers = headers_of(Partition("c", "user.events", 1), Rejected(again, "Invalid", "no `seq`"))
    back = read_letter(2, Raw(6, SENT, b"k", b"value", tuple(headers)))
    assert back == letter(6, of=90, partition=2, replays=1)


def test_a_marker_is_no_letter_and_a_letter_no_marker() -> None:
    value, headers = marker([7, 3])
    record = Raw(9, 0, None, value, tuple(headers))
    assert read_marker(record) == [3, 7]
    assert read_letter(0, record) is None
    assert read_marker(Raw(9, 0, None, b"not a marker")) == []


def test_a_narrow_terminal_cuts_off_neither_topic_nor_reason() -> None:
    reason = "Invalid RFC3339 encoded datetime - at `$.occurredAt`"
    found = plan([letter(0, "playback.events", reason=reason)], set(), Wanted(), TOPICS)
    text = io.StringIO()
    _show(Console(file=text, width=80), found, 0, False)
    lines = text.getvalue().splitlines()
    assert [line.split()[0] for line in lines if "." in line[:20]] == ["playback.events"]
    column = lines[0].index("reason"), lines[0].index("letters")
    assert "".join("".join(line[slice(*column)].split()) for line in lines[1:]) == "".join(reason.split())


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"9" * 5_000, b"-1", b"x" * 900_000])
def test_a_producer_cannot_make_a_letter_unreadable_or_large(value: bytes | None) -> None:
    record = Raw(0, 2**62, b"k", b"{", [("replays", value), ("replays", b"3"), ("replays", b"4")])
    headers = headers_of(Partition("c", "user.events", 1), Rejected(record, "NotJson", "truncated"))
    assert headers[0] == ("replays", b"3")
    assert [name for name, _ in headers].count("replays") == 1
    found = read_letter(0, Raw(5, 2**62, b"k", b"{", [*headers[1:], ("replays", value)]))
    assert found is not None
    assert (found.replays, found.at.year) == (0, 2100)


@pytest.mark.parametrize(
    ("given", "again"),
    [(0, 0), (-1, 0), (-(2**63), 0), (2**63 - 1, 2**53), (1_795_760_667_837, 1_795_760_667_837)],
)
def test_a_record_is_sent_again_with_its_own_timestamp_or_the_nearest_that_can_be_sent(
    given: int, again: int
) -> None:
    headers = headers_of(Partition("c", "t", 1), Rejected(Raw(0, given, b"k", b"{"), "NotJson", "truncated"))
    found = read_letter(0, Raw(5, SENT, b"k", b"{", headers))
    assert found is not None and found.timestamp == again
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    batch.append(0, SENT, b"k", b"{", [])
    assert batch.append(1, found.timestamp, b"k", b"{", []).timestamp == again


def test_a_letter_without_its_records_timestamp_has_it_itself() -> None:
    record = Raw(0, 1_000, b"k", b"{")
    headers = headers_of(Partition("c", "t", 1), Rejected(record, "NotJson", "truncated"))
    before = [header for header in headers if header[0] != "source-timestamp"]
    found = read_letter(0, Raw(5, record.timestamp, b"k", b"{", before))
    assert found is not None and found.timestamp == 1_000


def test_what_a_producer_sent_is_shown_without_control_characters() -> None:
    out = io.StringIO()
    bad = letter(
        0, reason="Invalid value '\x1b]52;c;cm0=\x07\x1b[2J\n[red]forged' - at `$.type`", error="[/]\x1b"
    )
    _show(
        Console(file=out, width=200, force_terminal=True, color_system=None),
        plan([bad], set(), Wanted(), TOPICS),
        0,
        True,
    )
    assert r"\x1b]52;c;cm0=\x07\x1b[2J\n[red]forged" in out.getvalue()
    assert not {each for each in out.getvalue() if ord(each) < 32} - {"\n", "\x1b"}
    assert "\x1b]" not in out.getvalue() and "\x1b[2J" not in out.getvalue()
