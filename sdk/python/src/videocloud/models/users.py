"""Analytics of users."""

from __future__ import annotations

from videocloud.models.base import OMITTED, Answer, Model, Omittable, Partial


class ActiveUsers(Model):
    """Distinct users with any event in the last 1, 7 and 30 days up to the end of the window."""

    daily: int
    weekly: int
    monthly: int


class Sessions(Model):
    """Sessions whose first event lies in the window."""

    total: int
    average_duration: float | None
    """Seconds from the first to the last event."""
    by_device: dict[str, int]
    """By the device of the first event, most frequent first."""


class Actions(Model):
    """Counts of user actions."""

    uploads: int
    comments: int
    likes: int
    shares: int


class Activity(Model):
    """Active users, sessions and actions."""

    active_users: ActiveUsers
    sessions: Sessions
    actions: Actions


class Growth(Model):
    """New, returning and lost users."""

    new_users: int
    """Users whose first event ever lies in the window."""
    returning_users: int
    """Users active in the window and first seen before it."""
    churn_rate: float | None = None
    """Active in the previous window and not in this one / active in the previous one; left out with
    compare=none."""
    by_source: dict[str, int]
    """New users by the `source` of their signup, else `unknown`."""


class Returns(Model):
    """Shares of users who were active on exactly the N-th day after their first."""

    day1: float | None
    day7: float | None
    day30: float | None


class Cohort(Returns):
    """Users first seen on one local day; null where day N is not over yet."""

    date: str
    """`YYYY-MM-DD`"""


class Retention(Returns):
    """Pooled over every cohort whose day N lies in the window and is over, and for each cohort."""

    cohorts: list[Cohort]
    """Those first seen in the window."""


class Users(Partial):
    """Analytics of users, with the groups that were requested: all by default."""

    activity: Omittable[Activity] = OMITTED
    growth: Omittable[Growth] = OMITTED
    retention: Omittable[Retention] = OMITTED


class TypeEngagement(Model):
    """Sessions of one type of user."""

    session_duration: float | None
    """Seconds."""
    pages_per_session: float | None


class UserTypes(Model):
    """Sessions of users first seen in the window, and of all others."""

    new: TypeEngagement
    returning: TypeEngagement


class HourEngagement(Model):
    """Sessions that began in one hour of the day."""

    hour: int
    """Local hour, 0 to 23."""
    users: int
    """Distinct users with a session in that hour."""
    engagement: float | None
    """Sessions that did not bounce / sessions."""


class UserEngagement(Model):
    """Engagement in sessions."""

    average_session_duration: float | None
    """Seconds."""
    pages_per_session: float | None
    bounce_rate: float | None
    """Sessions with at most one page view, under 10 s, no playback and no action / sessions."""
    by_user_type: UserTypes
    by_time_of_day: list[HourEngagement]
    """All 24 hours."""


class EngagementData(Answer):
    """Engagement of users."""

    engagement: UserEngagement
