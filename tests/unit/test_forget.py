"""When somebody can be forgotten, and what an operator is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.cli import app
from deploy.operations.forget_command import ForgetError, Known, _show, check_silence, whole_from
from sinks.clickhouse.forgetting import PERSONAL

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
ROWS = dict.fromkeys(PERSONAL, 0) | {"user_events": 1_234}


def told(known: Known) -> str:
    out = StringIO()
    _show(Console(file=out, width=200), known)
    return out.getvalue()


def test_somebody_is_forgotten_once_redis_has_forgotten_them() -> None:
    check_silence(None, NOW)
    check_silence(NOW - timedelta(hours=2, minutes=1), NOW)
    with pytest.raises(ForgetError, match="Run this after 14:00"):
        check_silence(NOW - timedelta(minutes=1), NOW)


def test_days_are_whole_from_the_one_after_the_oldest_raw_events() -> None:
    assert whole_from(NOW, 180) == date(2026, 5, 31)


def test_an_operator_sees_what_there_is_and_who_else_it_may_be() -> None:
    others = {f"viewer_{n}": 20 - n for n in range(12)}
    text = told(Known(ROWS, NOW, others, 3))
    assert "1,234" in text and "last seen: 2026-11-26 12:00:00" in text
    assert "viewer_0 (20)" in text and "viewer_9" in text and "and 2 more" in text
    assert "viewer_10" not in text
    assert "owner of 3 videos" in text
    assert "stays" in told(Known(ROWS, NOW, {}, 0, removed=True))
    assert "holds no rows" in told(Known(dict.fromkeys(PERSONAL, 0), None, {}, 0))


def test_an_empty_id_is_nobody() -> None:
    result = CliRunner().invoke(app, ["forget", ""])
    assert result.exit_code == 2 and "empty" in result.output
