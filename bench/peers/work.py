"""The pipeline's work as a user would write it by hand: at least once, into the same tables.

Totals of a view become deltas, rows go to ClickHouse in large inserts (the same tables, so the same
materialized views), counters of the last hour go to Redis in one pipelined call. It does less than the
pipeline: it does not drop repeats, keeps no audience curve, and counts events twice after a crash.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import orjson
import redis

#: The pipeline's own block size.
ROWS = 50_000
_KEPT_SECONDS = 7200


class Work:
    """Folds the events of one program; `flush` makes them durable in both stores."""

    def __init__(self) -> None:
        """Connect to REDIS_URL and CLICKHOUSE_URL."""
        parts = urlsplit(os.environ["CLICKHOUSE_URL"])
        self._clickhouse = clickhouse_connect.get_client(
            host=parts.hostname, port=parts.port, database=parts.path.strip("/")
        )
        self._redis = redis.Redis.from_url(os.environ["REDIS_URL"])
        self._views: dict[str, dict[str, Any]] = {}
        self.rows: list[bytes] = []
        self._counters: dict[tuple[int, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._viewers: dict[tuple[int, str], set[str]] = defaultdict(set)
        self._watching: dict[str, dict[str, int]] = defaultdict(dict)

    def take(self, value: bytes, offset: int, partition: int, received_ms: int) -> None:
        """Decode one event, and fold it."""
        event = orjson.loads(value)
        video, view = event["videoId"], event["viewId"]
        at, user = event["occurredAt"], event.get("userId") or event.get("viewerId", "")
        state = self._views.get(view)
        if state is None:
            state = self._views[view] = {"watched": 0, "rebuffer": 0, "rebuffers": 0, "at": 0, "began": 0}
        row = {
            "log": "peer",
            "topic": "playback.events",
            "partition": partition,
            "offset": offset,
            "event_id": event["eventId"],
            "type": event["type"],
            "occurred_at": at / 1000,
            "received_at": received_ms / 1000,
            "video_id": video,
            "view_id": view,
            "seq": event["seq"],
            "session_id": event["sessionId"],
            "user_id": user,
            "signed_in": "userId" in event,
            "country": event.get("country", "unknown"),
            "device": event.get("device", "unknown"),
            "platform": event.get("platform", "unknown"),
        }
        minute = at // 60_000
        counters = self._counters[minute, video]
        if event["type"] == "view.attempt":
            state["began"] = at
            row["d_attempts"] = 1
            counters["attempts"] += 1
        elif event["type"] == "view.start":
            state["at"] = at
            row |= {"d_views": 1, "duration_ms": event.get("durationMs", 0), "startup_ms": event["startupMs"]}
            counters["views"] += 1
            counters[f"country:{row['country']}"] += 1
            counters[f"device:{row['device']}"] += 1
            counters[f"platform:{row['platform']}"] += 1
            self._viewers[minute, video].add(user)
        else:
            watched, rebuffer = event["watchedMs"], event["rebufferMs"]
            delta = max(0, watched - state["watched"])
            stalled = max(0, rebuffer - state["rebuffer"])
            state["watched"], state["rebuffer"] = watched, rebuffer
            bitrate = event.get("bitrateKbps", 0)
            row |= {
                "watched_ms": watched,
                "rebuffer_ms": rebuffer,
                "rebuffer_count": event["rebufferCount"],
                "bitrate_kbps": bitrate,
                "from_ms": event["fromMs"],
                "to_ms": event["toMs"],
                "reason": event.get("reason", ""),
                "d_watched_ms": delta,
                "d_rebuffer_ms": stalled,
                "d_rebuffers": max(0, event["rebufferCount"] - state["rebuffers"]),
                "d_bitrate_weight": bitrate * delta,
                "d_bitrate_ms": delta if bitrate else 0,
            }
            state["rebuffers"] = event["rebufferCount"]
            counters["watched_ms"] += delta
            counters["rebuffer_ms"] += stalled
        row["attempted_at"], row["started_at"] = state["began"] / 1000, state["at"] / 1000
        self._watching[video][view] = at
        self.rows.append(orjson.dumps(row))

    def flush(self) -> int:
        """Write the folded events to both stores; return how many they were."""
        count = len(self.rows)
        if not count:
            return 0
        self._clickhouse.raw_insert(
            "playback_events",
            insert_block=b"\n".join(self.rows),
            fmt="JSONEachRow",
            settings={"async_insert": 0},
        )
        with self._redis.pipeline(transaction=False) as pipeline:
            self._count(pipeline)
            pipeline.execute()
        self.rows.clear()
        for kept in (self._counters, self._viewers, self._watching):
            kept.clear()
        return count

    def _count(self, pipeline: Any) -> None:
        for (minute, video), counters in self._counters.items():
            for name, key in (("v", f"p:v:{minute}:{video}"), ("t", f"p:t:{minute}")):
                for measure, n in counters.items():
                    pipeline.hincrby(key, measure, n)
                pipeline.expireat(key, minute * 60 + _KEPT_SECONDS)
                if name == "v" and counters.get("views"):
                    pipeline.zincrby(f"p:top:{minute}", counters["views"], video)
        for (minute, video), users in self._viewers.items():
            pipeline.sadd(f"p:u:{minute}:{video}", *users)
            pipeline.expireat(f"p:u:{minute}:{video}", minute * 60 + _KEPT_SECONDS)
        for video, views in self._watching.items():
            pipeline.zadd(f"p:on:{video}", views, gt=True)
            pipeline.expire(f"p:on:{video}", 120)
