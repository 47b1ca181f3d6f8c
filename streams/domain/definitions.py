"""The definition of every number that the API answers, once each: the table behind `metrics`.

A metric that is computed from sums has a formula; the others (distinct users, cohorts, quantiles) say in
words what they are, and the stores' queries answer them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.domain.measures import Engagement, Formula, Ratio, Total

COUNT, SHARE, SECONDS, CHANGE = "count", "share (0..1)", "seconds", "change (0.15 = +15 %)"
MILLISECONDS = "milliseconds"
ZERO, NULL, EMPTY = "0", "null", "{}"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of an answer: `field` is its path under `data`."""

    endpoint: str
    field: str
    unit: str
    empty: str
    definition: str
    formula: Formula | None = None

    @property
    def group(self) -> str:
        """Return the group that `metrics=` asks for."""
        return self.field.partition(".")[0]


SHARE_WATCHED: Final = Ratio(("parts",), ("sized",), per=100)
REACTION_RATE: Final = Ratio(("likes", "comments", "shares"), ("views",))
ENGAGEMENT: Final = Engagement(SHARE_WATCHED, REACTION_RATE)
VIEWS: Final = Total(("views",))
WATCH_TIME: Final = Total(("watched_ms",), per=1000)
AVERAGE_WATCH_TIME: Final = Ratio(("watched_ms",), ("views",), per=1000)
COMPLETION_RATE: Final = Ratio(("completions",), ("views",))
BUFFERING_RATE: Final = Ratio(("rebuffer_ms",), ("watched_ms", "rebuffer_ms"))
BITRATE: Final = Ratio(("bitrate_weight",), ("bitrate_ms",))
ERROR_RATE: Final = Ratio(("fatals",), ("attempts",))

VIDEO, SUMMARY = "/analytics/videos/{id}", "/analytics/videos/summary"
USERS, USER_ENGAGEMENT = "/analytics/users", "/analytics/users/engagement"
HEALTH, PERFORMANCE = "/analytics/system/health", "/analytics/system/performance"
LIVE, VIDEO_LIVE = "/analytics/live", "/analytics/videos/{id}/live"

_EQUALLY_LONG = "(now - before) / before over equally long elapsed stretches; null when before is 0"
_COMPLETED = (
    "started views that reached 95 % of the duration (a `toMs`) or ended with reason `ended` / started "
    "views, in the bucket of their start"
)

METRICS: Final = (
    Metric(
        VIDEO,
        "views.total",
        COUNT,
        ZERO,
        "views with a first frame, in the bucket of their start: of `view.start`, or of the `startedAt` of "
        "an event that arrived before it. User, country, device and platform are those of that event",
        VIEWS,
    ),
    Metric(
        VIDEO,
        "views.unique",
        COUNT,
        ZERO,
        "distinct `userId`, else `viewerId`, among those views over the whole window; exact, and never a sum "
        "of buckets",
    ),
    Metric(VIDEO, "views.change", CHANGE, NULL, f"of views.total: {_EQUALLY_LONG}"),
    Metric(
        VIDEO,
        "views.byCountry",
        COUNT,
        EMPTY,
        "views by ISO 3166-1 alpha-2 country, most first: two letters in either case, which are not looked "
        "up; `UK` for GB, `unknown` for anything else",
        VIEWS,
    ),
    Metric(VIDEO, "views.byDevice", COUNT, EMPTY, "views by device, most first", VIEWS),
    Metric(VIDEO, "views.byPlatform", COUNT, EMPTY, "views by platform, most first", VIEWS),
    Metric(VIDEO, "views.timeline[].views", COUNT, ZERO, "views.total of the point", VIEWS),
    Metric(VIDEO, "views.timeline[].unique", COUNT, ZERO, "views.unique of the point"),
    Metric(
        VIDEO,
        "engagement.averageWatchTime",
        SECONDS,
        NULL,
        "sum of watched seconds / views; watched time counts in the bucket of the heartbeat, as far as that "
        "raised the total of its view, in the order in which heartbeats arrived",
        AVERAGE_WATCH_TIME,
    ),
    Metric(
        VIDEO,
        "engagement.completionRate",
        SHARE,
        NULL,
        f"{_COMPLETED}; null for live videos",
        COMPLETION_RATE,
    ),
    Metric(VIDEO, "engagement.likes", COUNT, ZERO, "`video.like` events on the video", Total(("likes",))),
    Metric(VIDEO, "engagement.comments", COUNT, ZERO, "`video.comment` events on it", Total(("comments",))),
    Metric(VIDEO, "engagement.shares", COUNT, ZERO, "`video.share` events on it", Total(("shares",))),
    Metric(
        VIDEO,
        "engagement.timeline[].watchTime",
        SECONDS,
        ZERO,
        "sum of watched seconds of the point",
        WATCH_TIME,
    ),
    Metric(
        VIDEO,
        "engagement.timeline[].completionRate",
        SHARE,
        NULL,
        "engagement.completionRate of the point",
        COMPLETION_RATE,
    ),
    Metric(
        VIDEO,
        "performance.bufferingRate",
        SHARE,
        NULL,
        "rebuffer time / (watched + rebuffer time); start-up is not rebuffering",
        BUFFERING_RATE,
    ),
    Metric(
        VIDEO,
        "performance.averageBitrate",
        "kilobits a second, as `2500k`",
        NULL,
        "sum of bitrate x watched time / watched time at a known bitrate, rounded",
        BITRATE,
    ),
    Metric(
        VIDEO,
        "performance.errorRate",
        SHARE,
        NULL,
        "views with a fatal error / attempts, in the bucket of the attempt",
        ERROR_RATE,
    ),
    Metric(
        VIDEO,
        "performance.timeline[].bufferingRate",
        SHARE,
        NULL,
        "performance.bufferingRate of the point",
        BUFFERING_RATE,
    ),
    Metric(
        VIDEO,
        "performance.timeline[].errorRate",
        SHARE,
        NULL,
        "performance.errorRate of the point",
        ERROR_RATE,
    ),
    Metric(SUMMARY, "totalVideos", COUNT, ZERO, "videos with a view in the window"),
    Metric(SUMMARY, "totalViews", COUNT, ZERO, "views of all videos", VIEWS),
    Metric(SUMMARY, "totalWatchTime", SECONDS, ZERO, "watched seconds of all videos", WATCH_TIME),
    Metric(
        SUMMARY,
        "averageEngagement.watchTime",
        SECONDS,
        NULL,
        "watched seconds / views of all videos",
        AVERAGE_WATCH_TIME,
    ),
    Metric(
        SUMMARY,
        "averageEngagement.completionRate",
        SHARE,
        NULL,
        "completed views / views of all videos that are not live",
        COMPLETION_RATE,
    ),
    Metric(SUMMARY, "averageEngagement.likes", "count a video", NULL, "likes of those videos / totalVideos"),
    Metric(
        SUMMARY,
        "averageEngagement.comments",
        "count a video",
        NULL,
        "comments on those videos / totalVideos",
    ),
    Metric(
        SUMMARY,
        "topVideos[].views",
        COUNT,
        ZERO,
        "the ten videos with most views; ties: more watch time, then id. `title` is the catalog's, null if "
        "unknown",
        VIEWS,
    ),
    Metric(SUMMARY, "topVideos[].watchTime", SECONDS, ZERO, "watched seconds of the video", WATCH_TIME),
    Metric(
        SUMMARY,
        "topVideos[].engagement",
        SHARE,
        NULL,
        "0.8 x mean share of the content watched + 0.2 x min(1, (likes + comments + shares) / views). Share "
        "of the content: of 100 equal parts, those that any stretch of the view (`fromMs` up to `toMs`, "
        "which is not in it) touched, each once; only views whose content length is known: the `durationMs` "
        "of their `view.start`, unless that is 0 or left out, else the catalog's when their events were "
        "taken",
        ENGAGEMENT,
    ),
    Metric(SUMMARY, "trends.views", CHANGE, NULL, f"of totalViews: {_EQUALLY_LONG}"),
    Metric(SUMMARY, "trends.watchTime", CHANGE, NULL, f"of totalWatchTime: {_EQUALLY_LONG}"),
    Metric(
        SUMMARY,
        "trends.engagement",
        CHANGE,
        NULL,
        f"of topVideos[].engagement, pooled over all views: {_EQUALLY_LONG}",
    ),
    Metric(
        USERS,
        "activity.activeUsers",
        COUNT,
        ZERO,
        "`daily`, `weekly`, `monthly`: distinct users with any event in the last 1, 7, 30 days up to the "
        "window's end, or up to tonight's midnight if that is earlier: calendar days where that is a "
        "midnight of the asked time zone, else 24 hours each; 7 and 30 days then begin with a full quarter "
        "of an hour (rounded down)",
    ),
    Metric(
        USERS,
        "activity.sessions.total",
        COUNT,
        ZERO,
        "distinct `sessionId`, in the bucket of the first event. Events of an id are looked for from seven "
        "days (UTC) before the day on which the window begins to seven after the one on which it ends: an "
        "id that was silent for longer may count again in a later window, and a session is cut there",
    ),
    Metric(
        USERS,
        "activity.sessions.averageDuration",
        SECONDS,
        NULL,
        "mean of last - first event of a session, playback heartbeats included",
    ),
    Metric(USERS, "activity.sessions.byDevice", COUNT, EMPTY, "sessions by the device of their first event"),
    Metric(USERS, "activity.actions", COUNT, ZERO, "uploads, comments, likes and shares"),
    Metric(USERS, "growth.newUsers", COUNT, ZERO, "users whose first event ever lies in the window"),
    Metric(
        USERS,
        "growth.returningUsers",
        COUNT,
        ZERO,
        "users active in the window and first seen before it",
    ),
    Metric(
        USERS,
        "growth.churnRate",
        SHARE,
        NULL,
        "users active in the previous window, all of it also while this one is not over, and not in this "
        "one / active in the previous one",
    ),
    Metric(
        USERS,
        "growth.bySource",
        COUNT,
        EMPTY,
        "new users by the `source` of their first signup, whenever that was, else `unknown`",
    ),
    Metric(
        USERS,
        "retention.dayN",
        SHARE,
        NULL,
        "cohort: users by the day (asked time zone) of their first event; dayN: those active on exactly "
        "that day + N / cohort size. `cohorts` lists those first seen in the window (of a day that the "
        "window cuts, the users first seen inside), null where day N is not over yet; the headline pools "
        "every cohort whose day N lies in the window, all of it, and is over",
    ),
    Metric(
        USER_ENGAGEMENT,
        "engagement.averageSessionDuration",
        SECONDS,
        NULL,
        "activity.sessions.averageDuration",
    ),
    Metric(USER_ENGAGEMENT, "engagement.pagesPerSession", "pages", NULL, "page views / sessions"),
    Metric(
        USER_ENGAGEMENT,
        "engagement.bounceRate",
        SHARE,
        NULL,
        "sessions with at most one page view, under 10 s, no event of playback and no action (like, comment, "
        "share, upload, signup) / sessions",
    ),
    Metric(
        USER_ENGAGEMENT,
        "engagement.byUserType",
        "as above",
        NULL,
        "a session is `new` if its user was first seen in the window, else `returning`",
    ),
    Metric(
        USER_ENGAGEMENT,
        "engagement.byTimeOfDay",
        COUNT,
        ZERO,
        "by hour 0-23 of the asked time zone: distinct users with a session in that hour, and engaged (not "
        "bounced) sessions / sessions",
    ),
    Metric(HEALTH, "uptime", SHARE, NULL, "minutes observed in which no probe failed / minutes observed"),
    Metric(
        HEALTH,
        "responseTime",
        MILLISECONDS,
        NULL,
        "average, p95 and p99 of `api.request.durationMs`. Percentiles are of exact rank (the smallest "
        "duration that 95 or 99 % of all requests do not exceed), and up to 0.8 % too low: durations are "
        "kept cut to 8 significant bits, so that 297.6 becomes 296",
    ),
    Metric(
        HEALTH,
        "errors",
        SHARE,
        NULL,
        "(5xx requests + failed jobs + failed storage operations) / (requests + jobs that finished or "
        "failed + storage operations); the types share that denominator, so they add up to the rate",
    ),
    Metric(
        HEALTH,
        "resources",
        "share, load, sizes as `4GB`",
        NULL,
        "latest sample in the window of each host, averaged over hosts; load by position. A host that says 0 "
        "in all is left out of that share and size. Samples are kept for `RAW_RETENTION_DAYS`: hosts that "
        "were silent since then are left out",
    ),
    Metric(
        PERFORMANCE,
        "api.requests",
        COUNT,
        ZERO,
        "requests: in all, a second of the part of the window that is over, by endpoint",
    ),
    Metric(PERFORMANCE, "api.responseTime", MILLISECONDS, NULL, "mean, in all and by endpoint"),
    Metric(
        PERFORMANCE,
        "processing",
        "count, seconds",
        ZERO,
        "queued jobs; started and not finished jobs now, whatever the window: what the newest event of a job "
        "says, of two at one millisecond the later state. Mean `durationMs` of the `finished` in the window "
        "that tell it (and not 0); `null` without any",
    ),
    Metric(
        PERFORMANCE,
        "storage",
        "count, bytes a second as `100MB/s`",
        ZERO,
        "reads, writes and failed operations, which are among the former; bytes written (`in`) and read "
        "(`out`) a second of the part of the window that is over. Sums of bytes run over at 2^64 (18 EB)",
    ),
    Metric(
        LIVE,
        "concurrentViewers",
        COUNT,
        ZERO,
        "views whose newest event is in the last 30 seconds or, as clocks differ, up to five minutes ahead; "
        "a view is one playback, so one person who watches two videos is two",
    ),
    Metric(LIVE, "timeline[].views", COUNT, ZERO, "views with a first frame in the minute", VIEWS),
    Metric(LIVE, "timeline[].watchTime", SECONDS, ZERO, "sum of watched seconds of the minute", WATCH_TIME),
    Metric(LIVE, "timeline[].likes", COUNT, ZERO, "`video.like` events in the minute", Total(("likes",))),
    Metric(
        LIVE,
        "trending[].views",
        COUNT,
        ZERO,
        "views of the last ten minutes, the running one included; like the ranking, up to five seconds old,"
        " and older where very many videos make the look slow, but never of an earlier minute",
    ),
    Metric(
        LIVE,
        "trending[].viewsBefore",
        COUNT,
        ZERO,
        "views of the fifty minutes before those, looked up with them",
    ),
    Metric(
        LIVE,
        "trending[].trend",
        "standard deviations",
        NULL,
        "(views - expected) / sqrt(expected + 1), where expected = viewsBefore x elapsed / 50 min and "
        "elapsed is how much of the ten minutes is over: how far the views are above chance. Of the 1,000 "
        "videos with most views in the ten minutes, and three at least, the ten with the highest trend "
        "above 0; ties: more views, then id",
    ),
    Metric(VIDEO_LIVE, "concurrentViewers", COUNT, ZERO, "of the video, as of `/analytics/live`"),
    Metric(VIDEO_LIVE, "timeline", COUNT, ZERO, "of the video, as of `/analytics/live`"),
)
