"""The audience: who the people are, their devices, their first visit, and how likely they return."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from deploy.traffic.events import DAY_MS, HOUR_MS, digest
from deploy.traffic.places import PLACES, SHARES, Place
from deploy.traffic.rhythm import PEAK, day_factor, moment, weight

#: Relative to a person's loyalty, the return rate falls from 1 to `HABIT` as (days since first visit)^-FADE.
FADE: Final = 0.6
HABIT: Final = 0.18
SIGNED_IN: Final = 0.68
#: Share of the audience whose first visit is during the history, and the growth of first visits within it.
_DURING: Final = 0.66
_GROWTH: Final = 0.45
_OLDEST_DAYS: Final = 150
_SKETCH: Final = 2_000
#: Each try succeeds about one time in eight; if this many fail, nearly everybody is on the platform already.
_TRIES: Final = 80
_UNKNOWN_COUNTRY: Final = 0.01
_SOURCES: Final = ("organic", "search", "social", "referral", "ads", "email")
_SOURCE_SHARES: Final = (40, 20, 19, 12, 6, 3)
_GEAR: Final = (
    ("desktop", "web"), ("mobile", "android"), ("mobile", "ios"), ("mobile", "web"),
    ("tv", "tv"), ("tablet", "ios"), ("tablet", "android"), ("other", "other"),
)  # fmt: skip
_GEAR_SHARES: Final = (36, 22, 15, 8, 10, 5, 3, 1)

#: (device, platform) of the event contract.
Gear = tuple[str, str]


@dataclass(slots=True)
class Person:
    """Somebody who watches: signed in (`userId`) or not (`viewerId`)."""

    id: str
    signed_in: bool
    place: Place
    country: str | None
    gear: tuple[Gear, Gear]
    network: float
    source: str
    loyalty: float
    joined_ms: int = 0
    online: bool = False

    def chance(self, age_days: int) -> float:
        """Return the probability of a visit on the day `age_days` (>= 1) after the first visit."""
        return self.loyalty * (HABIT + (1 - HABIT) * math.pow(age_days, -FADE))


class Crowd:
    """The people whose first visit is in the past, or will be within the history.

    The people depend on the seed alone, so they are the same in every run. Their first visits use a random
    generator of their own, because they depend on the length of the history.
    """

    def __init__(self, seed: int, run: str, founders: int) -> None:
        """Start empty. The first `founders` signed-in people have come before any history.

        Newcomers after the history get ids of this `run`.
        """
        self._who = Random(f"who/{seed}")
        self._when = Random(f"when/{seed}")
        self._salt = str(seed)
        self._run = run
        self._most_founders = founders
        self._made = 0
        self.people: list[Person] = []
        self.founders: list[Person] = []

    def fill(self, count: int, first_day: int, last_day: int) -> None:
        """Add people until there are `count`; some first came before `first_day`, others until `last_day`.

        Days count from the epoch, in UTC.
        """
        when, days = self._when, last_day - first_day
        while len(self.people) < count:
            person = self._person(self._who.choices(PLACES, SHARES)[0], self._salt)
            founder = person.signed_in and len(self.founders) < self._most_founders
            if founder:
                self.founders.append(person)
            if days and not founder and when.random() < _DURING:
                day = first_day + self._arrival_day(person.place, first_day, days)
            else:
                day = first_day - 1 - int(_OLDEST_DAYS * when.random())
                person.loyalty = when.betavariate(4.0, 1.5)  # less loyal people left before the history
            person.joined_ms = moment(when, person.place, day)
            self.people.append(person)

    def _arrival_day(self, place: Place, first_day: int, days: int) -> int:
        ceiling = (1 + _GROWTH) * PEAK
        while True:
            day = int(self._when.random() * (days + 1))
            growth = 1 + _GROWTH * day / days
            if self._when.random() * ceiling < growth * day_factor(place, first_day + day):
                return day

    def newcomer(self, rng: Random, at_ms: int) -> Person:
        """Return a person whose first visit is at `at_ms`, from a place that is busy at that hour."""
        hour = at_ms // HOUR_MS
        place = rng.choices(PLACES, [place.share * weight(place, hour) for place in PLACES])[0]
        person = self._person(place, self._run)
        person.joined_ms = at_ms
        self.people.append(person)
        return person

    def returning(self, rng: Random, at_ms: int) -> Person | None:
        """Return a person who has visited before and returns at `at_ms`; None when there is none."""
        hour = at_ms // HOUR_MS
        for _ in range(_TRIES if self.people else 0):
            person = self.people[int(rng.random() * len(self.people))]
            if person.online or person.joined_ms >= at_ms:
                continue
            age_days = max(1, (at_ms - person.joined_ms) // DAY_MS)
            if rng.random() * PEAK < person.chance(age_days) * weight(person.place, hour):
                return person
        return None

    def sketch(self) -> Crowd:
        """Return a small copy of this crowd for simulation; its people are not people of this crowd."""
        copy = Crowd(0, "sketch", 0)
        copy.people = [replace(person, online=False) for person in self.people[:_SKETCH]]
        return copy

    def retain(self, until_ms: int) -> None:
        """Forget people whose first visit would be after `until_ms`."""
        self.people = [person for person in self.people if person.joined_ms < until_ms]

    def _person(self, place: Place, salt: str) -> Person:
        who = self._who
        self._made += 1
        signed_in = who.random() < SIGNED_IN
        name = digest(f"{salt}/{self._made}", 12)
        return Person(
            id=f"usr_{name}" if signed_in else f"anon_{name}",
            signed_in=signed_in,
            place=place,
            country=None if who.random() < _UNKNOWN_COUNTRY else place.country,
            gear=(who.choices(_GEAR, _GEAR_SHARES)[0], who.choices(_GEAR, _GEAR_SHARES)[0]),
            network=place.network * who.lognormvariate(0, 0.4),
            source=who.choices(_SOURCES, _SOURCE_SHARES)[0],
            loyalty=who.betavariate(2.2, 1.6) if signed_in else who.betavariate(1.0, 3.5),
        )


def visits_per_person(people: list[Person], first_day: int, last_day: int) -> float:
    """Return the mean number of days with a visit of one of `people`, from `first_day` to `last_day`."""
    total = 0.0
    for person in people:
        joined = person.joined_ms // DAY_MS
        total += joined >= first_day
        for day in range(max(first_day, joined + 1), last_day + 1):
            total += person.chance(day - joined) * day_factor(person.place, day)
    return total / max(1, len(people))
