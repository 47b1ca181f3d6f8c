"""The state of the platform at one moment: its people, videos, services and random generator."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from deploy.traffic.catalog import Library
from deploy.traffic.events import DAY_MS, Ids
from deploy.traffic.people import Crowd, visits_per_person
from deploy.traffic.system import Incidents, Operations

#: People who make the videos, as a share of the videos.
_OWNERS_PER_VIDEO: Final = 0.2
#: Visits of a person on a day with a visit.
VISITS_PER_DAY: Final = 1.2
_SAMPLE: Final = 2_000


@dataclass(slots=True, frozen=True)
class Config:
    """The size of the platform. The same configuration, seed and times give the same events."""

    seed: int = 1
    #: Whole days of history before today; 0 for none.
    history_days: int = 30
    #: Views that reach a first frame, per day, on average over the history.
    views_per_day: float = 600.0
    videos: int = 200
    #: Most people in the history; with few `views_per_day`, fewer of them appear.
    users: int = 5_000
    #: Live events a second.
    rate: float = 10.0


class World:
    """Everything that the events depend on, in its state after the events so far."""

    def __init__(self, config: Config, start_ms: int, end_ms: int, views_per_visit: float) -> None:
        """Populate the platform for a history from `start_ms` (a UTC midnight) to `end_ms`.

        The number of people follows from `views_per_day`, so that the return rates are the same at any
        size; only if `users` is too few for that many views, each person visits more often.
        """
        self.config = config
        self.rng = Random(f"events/{config.seed}")
        self.ids = Ids(config.seed, end_ms)
        #: Views under way, and the number of events that visits have made so far.
        self.playing = 0
        self.visit_events = 0
        first_day, last_day = start_ms // DAY_MS, end_ms // DAY_MS
        founders = max(1, round(config.videos * _OWNERS_PER_VIDEO))
        crowd = self.crowd = Crowd(config.seed, self.ids.run, founders)
        crowd.fill(min(_SAMPLE, config.users), first_day, last_day)
        visits = visits_per_person(crowd.people, first_day, last_day) * VISITS_PER_DAY
        wanted = config.views_per_day * (last_day - first_day + 1) / views_per_visit
        count = max(1, min(config.users, round(wanted / max(visits, 0.01))))
        crowd.fill(count, first_day, last_day)
        del crowd.people[count:]
        #: Visits on a day with a visit.
        self.visits_per_day = VISITS_PER_DAY * max(1.0, wanted / max(visits * count, 0.01))
        #: The people who make the videos, by id.
        self.owners = {person.id: person for person in crowd.founders or crowd.people[:1]}
        owners = list(self.owners)
        self.library = Library(config.seed, self.ids.run, config.videos, owners, start_ms, end_ms)
        self.incidents = Incidents(Random(f"incidents/{config.seed}"), start_ms, config.history_days + 400)
        self.operations = Operations(self.rng, self.ids, self.incidents)
