"""Refused sign-ins by address, so that nobody tries tokens without end."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_REFUSALS = 10
WINDOW_SECONDS = 300.0
# Many addresses take the place of the oldest ones, never more memory.
MOST_ADDRESSES = 10_000


class Attempts:
    """Each console counts on its own and forgets with its end: this slows guessing down, tokens are what keeps out."""

    def __init__(
        self,
        most: int = MOST_REFUSALS,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._window, self._clock = most, window_seconds, clock
        self._refused: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """How long this address must wait before it is heard again; 0 for not at all."""
        times = self._refused.get(origin_of(address), ())
        recent = [when for when in times if when > self._clock() - self._window]
        return recent[-self._most] + self._window - self._clock() if len(recent) >= self._most else 0.0

    def refused(self, address: str) -> None:
        """Counts one refusal."""
        origin = origin_of(address)
        self._refused.setdefault(origin, deque(maxlen=self._most)).append(self._clock())
        self._refused.move_to_end(origin)
        if len(self._refused) > MOST_ADDRESSES:
            self._refused.popitem(last=False)


def origin_of(address: str) -> str:
    """Whom an address belongs to: one household has a whole /64 of IPv6.

    >>> origin_of("192.0.2.7"), origin_of("2001:db8::1"), origin_of("")
    ('192.0.2.7', '2001:db8::/64', '')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
