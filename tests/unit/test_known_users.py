"""What today changes about counts of users: the counts of all, less those of who was known before."""

from __future__ import annotations

from collections import Counter
from random import Random

from sinks.clickhouse.known_users import EARLIER, KNOWN, RECENT, SIGNED_UP, KnownUsers
from tests.audience.tables import recent, table

#: Two of the stretches are one.
NUMBERS = {"daily": 0, "monthly": 1, "active": 1, "previous": 2}
LEFT = ("previous", "active")
TODAY, END = 100, 102
SOURCES = ("organic", "email")


def counts(flags: dict[int, int]) -> dict[str, int]:
    row = {name: sum(bits >> number & 1 for bits in flags.values()) for name, number in NUMBERS.items()}
    row["lost"] = sum(bits >> 2 & 1 and not bits >> 1 & 1 for bits in flags.values())
    return row


def test_the_difference_is_that_of_the_counts() -> None:
    rng = Random(3)
    for _ in range(200):
        known = {user: rng.randrange(8) for user in rng.sample(range(30), rng.randrange(30))}
        earlier = {user for user in known if rng.random() < 0.5}
        signed_up = {user for user in known if rng.random() < 0.3}
        heard = {user: rng.randrange(8) for user in rng.sample(range(30), rng.randrange(30))}
        days = {user: rng.randrange(TODAY, END + 1) for user in heard}
        signups = {user: rng.choice(SOURCES) for user in heard if rng.random() < 0.5}
        marks = {
            user: bits | EARLIER * (user in earlier) | SIGNED_UP * (user in signed_up)
            for user, bits in known.items()
        }
        before_today = KnownUsers(table(KNOWN, sorted(marks.items())))
        late = before_today.since(
            recent(RECENT, [(user, days[user], active, 1) for user, active in heard.items()]), END
        )

        before, now = (
            counts(known),
            counts({user: known.get(user, 0) | heard.get(user, 0) for user in range(30)}),
        )
        assert late.counts(NUMBERS, LEFT) == [{name: now[name] - before[name] for name in now}]

        new = {user for user in heard if user not in known and days[user] < END}
        cohorts = Counter(days[user] for user in new)
        assert {row["cohort"]: row["users"] for row in late.cohorts()} == cohorts
        assert all(row["inside"] == 1 for row in late.cohorts())

        rows = [
            {"source": source, "users": [user for user, its in signups.items() if its == source]}
            for source in SOURCES
        ]
        told = late.sources(before_today.signups(rows))
        first = (known.keys() - earlier - signed_up | new) & signups.keys()
        assert {row["source"]: row["users"] for row in told} == Counter(signups[user] for user in first)


def test_nobody_is_known_and_nobody_was_heard_of() -> None:
    nobody = KnownUsers(table(KNOWN, []))
    late = nobody.since(recent(RECENT, []), END)
    assert late.counts(NUMBERS, None) == [dict.fromkeys(NUMBERS, 0)]
    assert late.cohorts() == late.sources(nobody.signups([])) == []
