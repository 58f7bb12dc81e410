"""An answer that many pages show: asked for once, then shared for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What `ask` said at most `seconds` ago. Whoever comes while it is being asked waits for the same answer."""

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._kept: tuple[float, T] | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> T:
        """An answer that failed is not kept: the next one who comes asks again."""
        async with self._asking:
            if self._kept is None or time.monotonic() - self._kept[0] > self._seconds:
                self._kept = (time.monotonic(), await self._ask())
            return self._kept[1]

    @property
    def last(self) -> T | None:
        """The newest answer, however old."""
        return self._kept[1] if self._kept else None

    def forget(self) -> None:
        self._kept = None
