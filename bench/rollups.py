"""A platform's roll-ups, generated in SQL directly in their tables, as a number of events would produce them.

Nothing passes through the pipeline, so the roll-ups of a hundred million events are made in a minute. The
proportions are those of a day of the sample traffic: twenty events a view, fourteen sessions for ten user
days, a fifth of each day's users new. All values derive from hashes of row numbers: the same size gives the
same data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from clickhouse_connect.driver.client import Client

#: Two periods of `30d`, and one more day before them.
DAYS: Final = 61
EVENTS_A_VIEW: Final = 20
EVENTS_A_USER_DAY: Final = 35
_NEW_SHARE: Final = 5
#: Users known before the first day, as a multiple of a day's users.
_BEFORE: Final = 8
_HOSTS: Final = 4
_COUNTRIES: Final = "['US', 'GB', 'DE', 'IN', 'BR', 'FR', 'JP', 'MX']"
_DEVICES: Final = "['mobile', 'mobile', 'desktop', 'tv', 'tablet']"
_PLATFORMS: Final = "['ios', 'android', 'web', 'tv', 'ios']"


@dataclass(frozen=True, slots=True)
class Size:
    """The amount of data: events in all, users a day, and videos."""

    events: int
    daily_users: int
    videos: int

    @classmethod
    def of(cls, events: int, daily_users: int | None = None) -> Size:
        """Return the size of a platform with `events` events over all its days."""
        users = daily_users or max(1, events // DAYS // EVENTS_A_USER_DAY)
        return cls(events, users, max(100, min(20_000, events // 5_000)))

    @property
    def users(self) -> int:
        """Return the number of users over all days and before."""
        return self.daily_users * _BEFORE + DAYS * (self.daily_users // _NEW_SHARE)


def fill(client: Client, size: Size, now: datetime, tell: Callable[[str], None]) -> None:
    """Fill the empty tables of a migrated database with the days up to now."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    tell("catalog, users from before")
    for statement in _once(size, first):
        client.command(statement)
    for number in range(DAYS):
        day = first + timedelta(days=number)
        seconds = 86_400 if day < today else int((now - _midnight(day)).total_seconds())
        tell(f"{day}")
        for statement in _day(size, day, number, seconds):
            client.command(statement)


def going_on(size: Size, today: date, rows: int, turn: int) -> Iterator[str]:
    """Yield inserts of a moment: sessions and users of the last filled day go on, others in each turn."""
    number = DAYS - 1
    some = f"numbers(cityHash64({turn}) % {max(1, size.daily_users // 2)}, {rows})"
    yield (
        "INSERT INTO session_days (day, session, first, last, pages, actions, played)\n"
        f"SELECT toDate('{today}'), cityHash64(number, {number}), bitNot(toUInt128(0)),"
        f" toDateTime64('{today} 23:59:00', 3, 'UTC') + toIntervalMillisecond({turn} % 60000), 1, 0, 0"
        f" FROM {some}"
    )
    yield (
        "INSERT INTO user_days (day, user, slots)\n"
        f"SELECT toDate('{today}'), {_user(size, number, 'number')},"
        f" bitShiftLeft(toUInt128(1), {turn} % 96) FROM {some}"
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _user(size: Size, number: int, row: str) -> str:
    """Return the user of a row of a day: every fifth is new, the others are older, recent ones more often."""
    new = size.daily_users // _NEW_SHARE
    before = size.daily_users * _BEFORE + number * new
    fresh = f"{before} + intDiv({row}, {_NEW_SHARE}) % {max(1, new)}"
    older = f"{before} - 1 - toUInt64(pow(cityHash64({row}, {number}) / 18446744073709551616., 2) * {before})"
    # Both branches have one type, because the hash is of the bytes.
    return f"sipHash64(if({row} % {_NEW_SHARE} = 0, toUInt64({fresh}), toUInt64({older})))"


def _once(size: Size, first: date) -> Iterator[str]:
    before = size.daily_users * _BEFORE
    yield (
        "INSERT INTO video_catalog (log, topic, partition, offset, received_at, video_id, title, duration_ms,"
        " owner_id, published_at, live, deleted)\n"
        f"SELECT 'bench', 'video.catalog', 0, number, toDateTime64('{first} 00:00:00', 3, 'UTC'),"
        " concat('vid_', leftPad(toString(number), 6, '0')), concat('Video ', toString(number)), 600000,"
        f" 'owner', toDateTime64('{first} 00:00:00', 3, 'UTC'), number % 50 = 49, 0"
        f" FROM numbers({size.videos})"
    )
    yield (
        "INSERT INTO users (user, first_seen)\n"
        f"SELECT sipHash64(number), toDateTime64('{first} 00:00:00', 3, 'UTC')"
        f" - toIntervalSecond(1 + number % (40 * 86400)) FROM numbers({before})"
    )


def _day(size: Size, day: date, number: int, seconds: int) -> Iterator[str]:
    """Yield the inserts of one day, of which `seconds` seconds have passed."""
    share = seconds / 86_400
    users = max(1, int(size.daily_users * share))
    views = max(1, int(size.events / DAYS / EVENTS_A_VIEW * share))
    yield from _people(size, day, number, seconds, users)
    yield from _videos(size, day, number, seconds, views)
    yield from _platform(day, number, seconds, max(60, int(size.events / DAYS * share) // 50))


def _people(size: Size, day: date, number: int, seconds: int, users: int) -> Iterator[str]:
    user = _user(size, number, "number")
    midnight = f"toDateTime64('{day} 00:00:00', 3, 'UTC')"
    at = f"cityHash64(number, 'at', {number}) % {seconds}"
    yield (
        "INSERT INTO user_days (day, user, slots)\n"
        f"SELECT toDate('{day}'), {user}, bitShiftLeft(toUInt128(1), intDiv({at}, 900))"
        f" FROM numbers({users})"
    )
    # New users have every fifth row of the day, from the first row on.
    new = -(-users // _NEW_SHARE)
    fresh = _user(size, number, f"(number * {_NEW_SHARE})")
    yield (
        "INSERT INTO users (user, first_seen)\n"
        f"SELECT {fresh}, {midnight} + toIntervalSecond({at}) FROM numbers({new})"
    )
    yield (
        "INSERT INTO signups (user, signed_up, source)\n"
        f"SELECT {fresh}, {midnight} + toIntervalSecond({at}),"
        f" ['organic', 'referral', 'social', 'email'][1 + number % 4] FROM numbers({max(1, new // 2)})"
    )
    # A user's second session of a day is another row with the same user.
    row = f"(number % {users})"
    begin = f"(toUInt64(toUnixTimestamp({midnight})) + cityHash64(number, 's', {number}) % {seconds}) * 1000"
    yield (
        "INSERT INTO session_days (day, session, first, last, pages, actions, played)\n"
        f"SELECT toDate('{day}'), cityHash64(number, {number}),"
        f" bitOr(bitShiftLeft(toUInt128({begin} * 16 + 1 + number % 6), 64),"
        f" toUInt128({_user(size, number, row)})),"
        f" fromUnixTimestamp64Milli(toInt64({begin} + cityHash64(number, 'd') % 1200000), 'UTC'),"
        f" cityHash64(number, 'p') % 8, cityHash64(number, 'a') % 5 = 0, number % 3 != 0"
        f" FROM numbers({users * 14 // 10})"
    )
    yield (
        "INSERT INTO user_actions_15m (bucket, uploads, comments, likes, shares)\n"
        f"SELECT toDateTime('{day} 00:00:00', 'UTC') + number * 900, 1, {users // 96}, {users // 30},"
        f" {users // 200} FROM numbers({max(1, seconds // 900)})"
    )


def _videos(size: Size, day: date, number: int, seconds: int, views: int) -> Iterator[str]:
    # Few videos have most of the views: the square of a uniform number, twice.
    uniform = f"(cityHash64(number, 'v', {number}) / 18446744073709551616.)"
    video = f"concat('vid_', leftPad(toString(toUInt64(pow({uniform}, 4) * {size.videos})), 6, '0'))"
    kind = "1 + number % 5"
    where = (
        f"{_COUNTRIES}[1 + cityHash64(number, 'c') % 8] AS country, {_DEVICES}[{kind}] AS device,"
        f" {_PLATFORMS}[{kind}] AS platform"
    )
    at = f"cityHash64(number, 'at', {number}) % {seconds}"
    user = _user(size, number, f"(number % {max(1, size.daily_users)})")
    yield (
        "INSERT INTO view_starts"
        " (video_id, started_at, view_id, user_id, session_id, country, device, platform)\n"
        f"SELECT {video}, toDateTime64('{day} 00:00:00', 3, 'UTC') + toIntervalSecond({at}),"
        f" concat('view_{number}_', toString(number)),"
        f" toString({user}), concat('session_{number}_', toString(number)), {where}"
        f" FROM numbers({views})"
    )
    yield (
        "INSERT INTO video_15m\n"
        "SELECT video_id, bucket, country, device, platform,"
        " sum(1) AS attempts, sum(number % 300 = 0) AS fatals, sum(1) AS views,"
        " sum(number % 3 = 0) AS completions, sum(1) AS sized, sum(number % 100) AS parts,"
        " sum(90000) AS watched_ms, sum(number % 900) AS rebuffer_ms, sum(number % 2) AS rebuffers,"
        " sum(225000000) AS bitrate_weight, sum(90000) AS bitrate_ms, sum(number % 20 = 0) AS likes,"
        " sum(number % 80 = 0) AS comments, sum(number % 200 = 0) AS shares\n"
        f"FROM (SELECT number, {video} AS video_id, toDateTime('{day} 00:00:00', 'UTC')"
        f" + intDiv({at}, 900) * 900 AS bucket, {where} FROM numbers({views}))\n"
        "GROUP BY video_id, bucket, country, device, platform"
    )


def _platform(day: date, number: int, seconds: int, requests: int) -> Iterator[str]:
    minutes = max(1, seconds // 60)
    minute = f"toDateTime('{day} 00:00:00', 'UTC') + (number % {minutes}) * 60"
    kind, name, errors = "kind", "name", "errors"
    each = max(1, requests // minutes // 20)
    yield (
        "INSERT INTO system_1m (minute, kind, name, service, events, errors, duration_ms, bytes)\n"
        f"SELECT {minute}, {kind}, {name}, service, {each}, {errors}, {each} * 40, bytes\n"
        f"FROM (SELECT number, intDiv(number, {minutes}) AS which,"
        " multiIf(which < 20, 'api.request', which < 22, 'job', which < 24, 'storage.op',"
        " 'health.probe') AS kind, multiIf(which < 20, concat('/endpoint/', toString(which)), which < 22,"
        " ['video', 'thumbnail'][which - 19], which < 24, ['read', 'write'][which - 21], '') AS name,"
        f" 'service' AS service, toUInt64(cityHash64(number, {number}) % 997 = 0) AS errors,"
        f" if(which IN (22, 23), 1000000, 0) AS bytes FROM numbers({minutes * 25}))"
    )
    yield (
        "INSERT INTO latency_1m (minute, durations)\n"
        f"SELECT minute, quantilesBFloat16State(0.95, 0.99)(duration) FROM (SELECT {minute} AS minute,"
        f" exp(3 + cityHash64(number) % 1000 / 300.) AS duration FROM numbers({max(requests, minutes)}))"
        " GROUP BY minute"
    )
    yield (
        "INSERT INTO jobs (job_type, job, latest)\n"
        f"SELECT ['video', 'thumbnail'][1 + number % 2], cityHash64(number, {number}),"
        f" (toUInt64(toUnixTimestamp('{day} 00:00:00', 'UTC')) * 1000 + number) * 4 +"
        f" if(number % 500 = 0, number % 2, 3) FROM numbers({max(10, requests // 50)})"
    )
    yield (
        "INSERT INTO host_samples (host, occurred_at, event_id, service, cpu, load, memory_used_bytes,"
        " memory_total_bytes, storage_used_bytes, storage_total_bytes)\n"
        f"SELECT concat('host-', toString(number % {_HOSTS})), toDateTime64('{day} 00:00:00', 3, 'UTC')"
        f" + toIntervalSecond(intDiv(number, {_HOSTS}) * 10), toString(number), 'hosts', 0.5, [1., 1., 1.],"
        f" 4000000000, 8000000000, 5000000000, 10000000000 FROM numbers({max(1, seconds // 10) * _HOSTS})"
    )
