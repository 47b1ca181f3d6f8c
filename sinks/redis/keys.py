"""Redis keys and lifetimes; no other module spells them.

All keys of one Lua call belong to one partition of one log and share a hash tag, or are one bundle. So they
are in one slot of a Redis Cluster; readers add up over partitions. `generation` is part of every counter's
key: a rebuilt window is written beside the old one, and one field of the ledger switches readers over.

| key | type | holds |
|---|---|---|
| `vc:logs` | zset | tag of every partition with live counters, by when it was last announced (epoch s) |
| `vc:{tag}:ledger` | hash | `sinks.base.Ledger`; never expires |
| `vc:{tag}:<gen>:t:<minute>` | hash | measures of all videos in that minute |
| `vc:{tag}:<gen>:v:<minute>:<video>` | hash | measures of the video in that minute, and views by dimension |
| `vc:{tag}:<gen>:u:<minute>:<video>` | set | 64-bit hashes of the users who started a view in that minute |
| `vc:{tag}:<gen>:top:<minute>` | zset | every video with a measure in that minute, by views |
| `vc:{tag}:<gen>:on` | zset | every video that is watched, by its newest event (epoch ms) |
| `vc:{tag}:<gen>:on:<video>` | zset | the video's views, each by its newest event (epoch ms) |
| `vc:bundle:<id>` | hash | blocks of several partitions in one insert, until that is done |
| `vc:rebuild` | hash | who rebuilds roll-ups or forgets somebody now, and until when that holds |
| `vc:keys` | hash | API keys as JSON, by digest; never expires |
| `vc:keys:used` | hash | when each API key was last used (epoch s), by digest |
| `vc:limits:...` | | requests of each API key in the running stretch, kept by the `limits` library |
"""

from __future__ import annotations

from typing import Final

from streams.domain.aggregate import LIVE_MINUTES, WATCHING_SECONDS
from streams.domain.arrivals import SKEW_MS

#: Partitions with live counters; members are tags without braces.
LOGS: Final = "vc:logs"
#: Whose turn it is to rebuild roll-ups, or to remove rows that a rebuild would restore.
REBUILD: Final = "vc:rebuild"
#: API keys, and when they were last used.
API_KEYS: Final = "vc:keys"
API_KEYS_USED: Final = "vc:keys:used"
#: Prefix of the keys of the rate limit.
LIMITS: Final = "vc:limits"
#: Bundles of workers that died or gave up are kept for as long as Kafka, by default, keeps their records.
BUNDLE_SECONDS: Final = 7 * 86_400
#: Minutes are read for this long after they begin: the hour that is asked for, and the hour before it.
LIVE_SECONDS: Final = LIVE_MINUTES * 60
#: They are kept a little longer, for questions under way when a minute ends, and for clocks that differ.
KEPT_SECONDS: Final = LIVE_SECONDS + 60
#: How often a partition is announced to readers.
ANNOUNCE_SECONDS: Final = 60
#: Readers drop a partition this long after it was announced: its last events may have come just before it
#: would have been announced again, and be ahead of their records.
ANNOUNCED_SECONDS: Final = KEPT_SECONDS + ANNOUNCE_SECONDS + SKEW_MS // 1000
#: A view counts as watching for this long after its newest event (docs/metrics.md: `concurrentViewers`).
WATCHING_MS: Final = 30_000
#: Views leave the concurrent sets after this long without an event.
WATCHING_KEPT_MS: Final = WATCHING_SECONDS * 1000


def tag(cluster: str, topic: str, partition: int) -> str:
    """Return a partition's tag; names of Kafka topics have no slash."""
    return f"{cluster}/{topic}/{partition}"


def ledger(tag: str) -> str:
    """Key of the partition's ledger (hash)."""
    return f"vc:{{{tag}}}:ledger"


def bundle(name: str) -> str:
    """Key of a bundle (hash)."""
    return f"vc:{name}"


def prefix(tag: str, generation: int) -> str:
    """Return the prefix of all live keys of a generation; the scripts append the rest."""
    return f"{prefix_of_all(tag)}{generation}:"


def prefix_of_all(tag: str) -> str:
    """Return the prefix of all keys of the partition; a generation and a colon make it `prefix`."""
    return f"vc:{{{tag}}}:"


def video(tag: str, generation: int, minute: int, video_id: str) -> str:
    """Key of one video's measures in a minute (hash)."""
    return f"{prefix(tag, generation)}v:{minute}:{video_id}"


def watching(tag: str, generation: int) -> str:
    """Key of the videos that are watched, by their newest event (sorted set).

    With `:` and a video appended, it is the key of that video's views by their newest event.
    """
    return f"{prefix(tag, generation)}on"
