"""Export jobs in Redis, shared by all processes of the API.

| key | type | holds |
|---|---|---|
| `vc:{exports}:open` | zset | ids of jobs that are not done, by when they may be taken (epoch s) |
| `vc:{exports}:job:<id>` | hash | `Job`; kept a day longer than the export, to tell old ids from wrong ones |
| `vc:{exports}:secret` | string | what links are signed with, when the settings name nothing |

A queued job may be taken at once; one that is processed, when its lease has expired.

A job belongs to the process with its `owner` id, for as long as that renews the lease. When a process dies,
the lease expires and another process starts the job anew; after `MAX_TRIES` it has failed. Leases are
measured by the clock of Redis, so the clocks of the processes need not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from secrets import token_hex
from typing import Any, Final

from sinks.redis.client import CircuitBreaker

_OPEN: Final = "vc:{exports}:open"
_SECRET: Final = "vc:{exports}:secret"
_JOB: Final = "vc:{exports}:job:"
#: Seconds after which a lease that was not renewed expires.
LEASE_SECONDS: Final = 30
#: Attempts before a job has failed.
MAX_TRIES: Final = 3
_KEPT_SECONDS: Final = 86_400

_NOW: Final = "local now = tonumber(redis.call('TIME')[1])\n"
_ADD: Final = (
    _NOW
    + """\
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
"""
)
# The keys of jobs are made from ids in the set; they share its hash tag, so they are in its slot.
_TAKE: Final = (
    _NOW
    + """\
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 20)
for _, id in ipairs(due) do
  local key = ARGV[1] .. id
  if redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', KEYS[1], id)
  elseif redis.call('HINCRBY', key, 'tries', 1) > tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], id)
    redis.call('HSET', key, 'status', 'failed', 'owner', '', 'reason', ARGV[5])
    return id
  else
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), id)
    redis.call('HSET', key, 'status', 'processing', 'owner', ARGV[2], 'rows', 0, 'bytes', 0)
    return id
  end
end
return false
"""
)
_RENEW: Final = (
    _NOW
    + """\
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
return 1
"""
)
_END: Final = """\
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'owner', '', unpack(ARGV, 3))
return 1
"""
_RELEASE: Final = (
    _NOW
    + """\
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], 'XX', now, ARGV[1])
redis.call('HINCRBY', KEYS[2], 'tries', -1)
redis.call('HSET', KEYS[2], 'status', 'queued', 'owner', '')
return 1
"""
)
_GAVE_UP: Final = (
    f"The export could not be finished in {MAX_TRIES} tries. Ask again, or for a shorter window."
)


class Status(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """An export as it is stored. `order` is its `orders.Order` as JSON, `reason` why it failed.

    `rows` and `bytes` are those written so far; the rows of a Parquet file are unknown, and None.
    """

    id: str
    order: str
    extension: str
    status: Status
    created: datetime
    expires: datetime
    rows: int | None = 0
    bytes: int = 0
    reason: str = ""


class Jobs:
    """The jobs. Every method raises `StoreUnavailableError` when Redis cannot be used now."""

    def __init__(self, redis: Any, breaker: CircuitBreaker | None = None) -> None:
        """Use a client that returns bytes, and a breaker that bounds its calls."""
        self._redis = redis
        self._breaker = breaker or CircuitBreaker()
        self.owner = token_hex(8)

    async def add(self, job: Job) -> None:
        """Queue a new job."""
        lifetime = int((job.expires - job.created).total_seconds()) + _KEPT_SECONDS
        fields = {
            "order": job.order,
            "extension": job.extension,
            "status": job.status.value,
            "created": repr(job.created.timestamp()),
            "expires": repr(job.expires.timestamp()),
        }
        flat = [part for pair in fields.items() for part in pair]
        await self._run(_ADD, job.id, job.id, lifetime, *flat)

    async def find(self, export_id: str) -> Job | None:
        """Return a job; None when there is none, or it expired more than a day ago."""
        async with self._breaker.guard():
            raw = await self._redis.hgetall(_JOB + export_id)
        if not raw:
            return None
        fields = {name.decode(): value.decode() for name, value in raw.items()}
        rows = fields.get("rows", "0")
        return Job(
            export_id,
            fields["order"],
            fields["extension"],
            Status(fields["status"]),
            datetime.fromtimestamp(float(fields["created"]), UTC),
            datetime.fromtimestamp(float(fields["expires"]), UTC),
            int(rows) if rows else None,
            int(fields.get("bytes", "0")),
            fields.get("reason", ""),
        )

    async def take(self) -> Job | None:
        """Take a waiting job and its lease; None when there is none.

        A job with too many attempts is returned once, as failed and without a lease, to be reported.
        """
        async with self._breaker.guard():
            taken = await self._redis.eval(
                _TAKE, 1, _OPEN, _JOB, self.owner, LEASE_SECONDS, MAX_TRIES, _GAVE_UP
            )
        return await self.find(taken.decode()) if taken else None

    async def renew(self, export_id: str, rows: int | None, size: int) -> bool:
        """Renew the lease and store the progress; return False if another process has the job now."""
        progress = ("rows", "" if rows is None else rows, "bytes", size)
        return bool(await self._run(_RENEW, export_id, export_id, self.owner, LEASE_SECONDS, *progress))

    async def complete(self, export_id: str, rows: int | None, size: int) -> bool:
        """Mark a job as completed; return False if another process has it now."""
        result = ("status", Status.COMPLETED.value, "rows", "" if rows is None else rows, "bytes", size)
        return bool(await self._run(_END, export_id, export_id, self.owner, *result))

    async def fail(self, export_id: str, reason: str) -> None:
        """Mark a job as failed; `reason` is shown to the caller."""
        result = ("status", Status.FAILED.value, "reason", reason)
        await self._run(_END, export_id, export_id, self.owner, *result)

    async def release(self, export_id: str) -> None:
        """Return a job to the queue, to be started anew."""
        await self._run(_RELEASE, export_id, export_id, self.owner)

    async def secret(self) -> str:
        """Return the secret that all processes share; the first call creates it."""
        async with self._breaker.guard():
            kept: bytes | None = await self._redis.get(_SECRET)
            if kept is None:
                # Only then: a Redis that is full, or a replica, refuses even a write that changes nothing.
                await self._redis.set(_SECRET, token_hex(32), nx=True)
                kept = await self._redis.get(_SECRET)
        assert kept is not None
        return kept.decode()

    async def _run(self, script: str, export_id: str, *arguments: Any) -> Any:
        async with self._breaker.guard():
            return await self._redis.eval(script, 2, _OPEN, _JOB + export_id, *arguments)


def new_id() -> str:
    """Return a new id of an export, which nobody can guess."""
    return f"exp_{token_hex(12)}"
