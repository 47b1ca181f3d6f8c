"""The SQL about users and the platform, as it is sent. `UPDATE_GOLDEN=1` writes it anew: read the diff."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sinks.clickhouse import cohort_queries, known_queries, session_queries, system_queries, user_queries
from streams.domain.user_readings import active_stretches
from streams.domain.windows import Stretch, Window, custom, named, zone_of
from tests.golden import FOLDER, check_query

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)


def window(period: str, zone: str = "UTC") -> Window:
    return named(period, zone=zone_of(zone), now=NOW)


def both(window: Window) -> dict[str, Stretch]:
    assert window.previous
    return {"active": window.whole, "previous": window.previous}


SECONDS = custom(
    datetime(2024, 3, 1, 0, 0, 0, 1000, UTC),
    datetime(2024, 3, 1, 0, 0, 5, tzinfo=UTC),
    zone=zone_of("UTC"),
    now=NOW,
)
TODAY = NOW.date()
MIDNIGHT = datetime(2024, 3, 30, tzinfo=UTC)
LEFT = ("previous", "active")
NEW_YORK = window("7d", "America/New_York")
RETURNS_SINCE = cohort_queries.cohort_returns_since(window("7d", "America/New_York"), MIDNIGHT)
assert RETURNS_SINCE
CASES = {
    "first_active": user_queries.first_active(),
    "active_30d": user_queries.active_users(active_stretches(window("30d"))),
    "active_30d_new_york": user_queries.active_users(active_stretches(window("30d", "America/New_York"))),
    "active_1h": user_queries.active_users(active_stretches(window("1h"))),
    "churn_7d": user_queries.active_users(both(window("7d")), churn=LEFT),
    "churn_within_seconds": user_queries.active_users(both(SECONDS), churn=LEFT),
    "active_30d_before": user_queries.active_users(active_stretches(window("30d")), before=TODAY),
    "churn_7d_since": user_queries.active_users_since(both(window("7d")), TODAY, churn=LEFT),
    "new_users_before": user_queries.new_users(window("7d"), before=MIDNIGHT),
    "sources_since": user_queries.sources_since(window("7d"), MIDNIGHT),
    "cohort_sizes_since": cohort_queries.cohort_sizes(window("7d"), since=MIDNIGHT),
    "cohort_returns_since_new_york": RETURNS_SINCE,
    "sessions_before": session_queries.sessions_by_device(window("7d"), before=TODAY),
    "sessions_since": session_queries.sessions_by_device_since(window("7d"), TODAY),
    "engagement_since": session_queries.sessions_by_type_and_hour_since(window("7d"), TODAY),
    "new_users": user_queries.new_users(window("7d")),
    "actions_7d": user_queries.actions(window("7d")),
    "actions_24h": user_queries.actions(window("24h")),
    "cohort_sizes": cohort_queries.cohort_sizes(window("7d")),
    "cohort_returns": cohort_queries.cohort_returns(window("7d"), MIDNIGHT),
    "cohort_returns_new_york": cohort_queries.cohort_returns(window("7d", "America/New_York"), MIDNIGHT),
    "sessions": session_queries.sessions_by_device(window("24h")),
    "engagement": session_queries.sessions_by_type_and_hour(window("7d", "America/New_York")),
    "known_7d": known_queries.users_before(both(window("7d")), window("7d"), TODAY).query,
    "heard_7d": known_queries.users_since(both(window("7d")), window("7d"), TODAY).query,
    "changed_7d": known_queries.users_since(both(window("7d")), window("7d"), TODAY, 41).query,
    "heard_7d_new_york": known_queries.users_since(both(NEW_YORK), NEW_YORK, TODAY).query,
    "signups_since": known_queries.signups_since(TODAY),
    "visitors_7d": known_queries.visitors_before(window("7d"), TODAY).query,
    "sessions_known_7d": known_queries.sessions_before(window("7d"), TODAY)[0].query,
    "sessions_older_7d": known_queries.sessions_before(window("7d"), TODAY)[1].query,
    "sessions_heard_since": known_queries.sessions_since(TODAY, TODAY).query,
    "sessions_changed_since": known_queries.sessions_since(TODAY, TODAY, 41).query,
    "first_minute": system_queries.first_minute(),
    "kinds_24h": system_queries.sums_by_kind(window("24h")),
    "kinds_within_seconds": system_queries.sums_by_kind(SECONDS),
    "minutes_up": system_queries.minutes_up(window("24h")),
    "response_times": system_queries.response_times(window("24h")),
    "response_times_within_seconds": system_queries.response_times(SECONDS),
    "newest_samples": system_queries.newest_samples(window("24h")),
    "names_1h": system_queries.sums_by_name(window("1h")),
    "standing_jobs": system_queries.current_jobs(),
}
LENGTHS = ("7d", "30d", "new_york", "24h", "before", "since")
LONG = [name for name in CASES if name.endswith(LENGTHS) and name != "actions_24h"]


@pytest.mark.parametrize("name", CASES)
def test_the_sql_is_as_it_was_read_and_approved(name: str) -> None:
    check_query(f"users/{name}.sql", CASES[name])


@pytest.mark.parametrize("name", LONG)
def test_windows_of_whole_quarters_read_no_raw_events(name: str) -> None:
    for table in ("playback_events", "user_events", "system_events"):
        assert table not in CASES[name].sql


def test_there_is_a_file_for_every_case_and_no_other() -> None:
    assert {path.stem for path in (FOLDER / "users").iterdir()} == set(CASES)
