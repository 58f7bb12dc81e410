"""Keeping within an endpoint's limits, those stated and those its headers tell."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping

# "6m0s", "1s", "120ms", "2.5": how endpoints write a time to wait.
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
MAX_WAIT_SECONDS = 120.0


class Bucket:
    """A token bucket that holds one minute's worth; a rate of 0 limits nothing."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate = per_minute / 60
        self._level = per_minute
        self._filled = clock()

    def take(self, amount: float) -> float:
        """Takes it, on credit if need be; returns the seconds to wait before going on."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._level = min(self._rate * 60, self._level + (now - self._filled) * self._rate)
        self._filled = now
        # More than a minute's worth could never be had at once: it takes the whole bucket.
        self._level -= min(amount, self._rate * 60)
        return max(0.0, -self._level / self._rate)

    def lower(self, remaining: float, limit: float) -> None:
        """What the endpoint says counts where it is less than what we believed."""
        if limit > 0 and not self._rate:
            self._rate = limit / 60
            self._level, self._filled = limit, self._clock()
        self._level = min(self._level, remaining)


class RateLimit:
    """Requests and tokens per minute of one endpoint."""

    def __init__(
        self,
        requests_per_minute: int,
        tokens_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._requests = Bucket(requests_per_minute, clock)
        self._tokens = Bucket(tokens_per_minute, clock)
        self._clock = clock
        self._sleep = sleep
        self._closed_until = 0.0

    async def wait(self, tokens: int) -> None:
        """Returns when a request of that many tokens may go out."""
        held = max(0.0, self._closed_until - self._clock())
        seconds = max(self._requests.take(1), self._tokens.take(tokens), held)
        if seconds:
            await self._sleep(seconds)

    def learn(self, headers: Mapping[str, str]) -> None:
        """From x-ratelimit-{limit,remaining}-{requests,tokens}; headers that make no sense change nothing."""
        for kind, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
            remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
            if limit is not None and remaining is not None:
                bucket.lower(remaining, limit)

    def close_for(self, seconds: float) -> None:
        """The endpoint said when to come back: everybody waits for that."""
        self._closed_until = max(self._closed_until, self._clock() + min(seconds, MAX_WAIT_SECONDS))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait, None if it does not say.

    >>> retry_after({"retry-after": "3"}), retry_after({"x-ratelimit-reset-tokens": "1m30s"}), retry_after({})
    (3.0, 90.0, None)
    """
    stated = [headers.get(name) for name in ("retry-after", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")]
    found = [seconds for text in stated if text and (seconds := parse_duration(text)) is not None]
    if headers.get("retry-after") and found:
        return found[0]
    return max(found, default=None)


def parse_duration(text: str) -> float | None:
    """Seconds; None for what is not a duration (an HTTP date, say). Never above MAX_WAIT_SECONDS."""
    parts = DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return min(sum(float(number) * UNITS[unit] for number, unit in parts), MAX_WAIT_SECONDS)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e12 else None
