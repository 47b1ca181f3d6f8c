"""When to retry, and after how long. Pure: the time and random numbers are arguments."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from videocloud.errors import APIConnectionError, APIError, APIStatusError

#: Seconds before the first retry; twice as long before each further one, up to `LONGEST`.
FIRST: Final = 0.5
LONGEST: Final = 8.0
#: The longest `Retry-After`, in seconds, that is waited for; a longer one raises the error instead.
PATIENCE: Final = 60.0
#: Transient status codes, besides all of 500 and above.
_PASSING: Final = frozenset({408, 409, 429})
#: Code of a 500 that is not transient: the export has failed for good.
_FAILED: Final = "ANALYTICS_EXPORT_FAILED"


def backoff(attempt: int, chance: float) -> float:
    """Return the seconds before a retry after `attempt` (from 0) failed ones.

    `chance`, from 0 to 1, shortens the pause by up to a quarter, so that many clients do not retry at once.
    """
    return float(min(FIRST * 2 ** min(attempt, 10), LONGEST) * (1 - 0.25 * chance))


def passes(error: APIError) -> bool:
    """Return whether an error is transient: no response, 408, 409, 429 and 5xx, but not a failed export."""
    if isinstance(error, APIStatusError):
        if error.code == _FAILED:
            return False
        return error.status in _PASSING or error.status >= 500
    return isinstance(error, APIConnectionError)


def wait(error: APIError, attempt: int, most: int, chance: float) -> float | None:
    """Return the seconds before the next retry, None to give up.

    Transient errors are retried up to `most` times. `Retry-After` is obeyed, unless it exceeds `PATIENCE`.
    """
    if attempt >= most or not passes(error):
        return None
    asked = error.retry_after if isinstance(error, APIStatusError) else None
    if asked is None:
        return backoff(attempt, chance)
    return asked if asked <= PATIENCE else None


def wait_to_reconnect(error: APIError, attempt: int, most: int | None, chance: float) -> float | None:
    """Return the seconds before a lost stream is opened again, None to give up.

    As `wait`, but never less than `backoff`, because nothing else limits the number of attempts.
    """
    pause = wait(error, attempt, attempt + 1 if most is None else most, chance)
    return None if pause is None else max(pause, backoff(attempt, chance))


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return a `Retry-After` header, seconds or a date, in seconds; None if it is missing or invalid."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
