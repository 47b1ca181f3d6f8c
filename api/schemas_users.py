"""What responses about users look like; the examples are those of the API reference."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas import Meta, Model


class ActiveUsers(Model):
    """Distinct users with any event in the last 1, 7 and 30 days up to the end of the window."""

    daily: int
    weekly: int
    monthly: int


class Sessions(Model):
    """Sessions whose first event lies in the window."""

    total: int
    average_duration: float | None = Field(description="Seconds from the first to the last event.")
    by_device: dict[str, int] = Field(description="By the device of the first event, most frequent first.")


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
    """New, returning and churned users."""

    new_users: int = Field(description="Users whose first event ever lies in the window.")
    returning_users: int = Field(description="Users active in the window and first seen before it.")
    churn_rate: float | None = Field(
        None,
        description="Active in the previous window and not in this one / active in the previous one; left "
        "out with compare=none.",
    )
    by_source: dict[str, int] = Field(
        description="New users by the `source` of their signup, else `unknown`."
    )


class Returns(Model):
    """Shares of users who were active on exactly the N-th day after their first."""

    day1: float | None
    day7: float | None
    day30: float | None


class Cohort(Returns):
    """Users first seen on one local day; null where day N is not over yet."""

    date: str = Field(description="`YYYY-MM-DD`")


class Retention(Returns):
    """Pooled over every cohort whose day N lies in the window and is over, and for each cohort."""

    cohorts: list[Cohort] = Field(description="Those first seen in the window.")


class Users(Model):
    """Analytics of users; groups that were not requested are omitted."""

    activity: Activity | None = None
    growth: Growth | None = None
    retention: Retention | None = None


class TypeEngagement(Model):
    """Sessions of one type of user."""

    session_duration: float | None = Field(description="Seconds.")
    pages_per_session: float | None


class UserTypes(Model):
    """Sessions of users first seen in the window, and of all others."""

    new: TypeEngagement
    returning: TypeEngagement


class HourEngagement(Model):
    """Sessions that began in one hour of the day."""

    hour: int = Field(ge=0, le=23, description="Local hour, 0 to 23.")
    users: int = Field(description="Distinct users with a session in that hour.")
    engagement: float | None = Field(description="Sessions that did not bounce / sessions.")


class UserEngagement(Model):
    """Engagement in sessions."""

    average_session_duration: float | None = Field(description="Seconds.")
    pages_per_session: float | None
    bounce_rate: float | None = Field(
        description="Sessions with at most one page view, under 10 s, no playback and no action / sessions."
    )
    by_user_type: UserTypes
    by_time_of_day: list[HourEngagement] = Field(description="All 24 hours.")


class EngagementData(Model):
    """Engagement of users."""

    engagement: UserEngagement


class UsersResponse(Model):
    """`GET /analytics/users`."""

    success: Literal[True]
    data: Users
    meta: Meta


class UserEngagementResponse(Model):
    """`GET /analytics/users/engagement`."""

    success: Literal[True]
    data: EngagementData
    meta: Meta


META_EXAMPLE: dict[str, Any] = {
    "asOf": "2024-03-30T14:05:27.312Z",
    "partial": True,
    "timezone": "UTC",
    "source": "clickhouse",
}

USERS_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "activity": {
            "activeUsers": {"daily": 1000, "weekly": 5000, "monthly": 20000},
            "sessions": {
                "total": 50000,
                "averageDuration": 600,
                "byDevice": {"desktop": 30000, "mobile": 20000},
            },
            "actions": {"uploads": 100, "comments": 500, "likes": 2000, "shares": 300},
        },
        "growth": {
            "newUsers": 5000,
            "returningUsers": 15000,
            "churnRate": 0.1,
            "bySource": {"organic": 3000, "referral": 1000, "social": 1000},
        },
        "retention": {
            "day1": 0.6,
            "day7": 0.4,
            "day30": 0.2,
            "cohorts": [{"date": "2024-03-01", "day1": 0.6, "day7": 0.4, "day30": 0.2}],
        },
    },
    "meta": META_EXAMPLE,
}

ENGAGEMENT_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "engagement": {
            "averageSessionDuration": 600,
            "pagesPerSession": 5,
            "bounceRate": 0.3,
            "byUserType": {
                "new": {"sessionDuration": 400, "pagesPerSession": 3},
                "returning": {"sessionDuration": 800, "pagesPerSession": 7},
            },
            "byTimeOfDay": [{"hour": 14, "users": 1000, "engagement": 0.8}],
        }
    },
    "meta": META_EXAMPLE,
}
