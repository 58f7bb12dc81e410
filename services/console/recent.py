"""An answer that many pages show: asked for once, then shared for a moment."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What `ask` said at most `seconds` ago. Whoever comes while it is being asked waits for the same answer.

    For `overdue` seconds more nobody waits: the answer that is there is given, and asked for again behind the caller's
    back. So a page that many look at never waits for it, and one that nobody has looked at for long is not stale.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], seconds: float, overdue: float = 0.0) -> None:
        self._ask = ask
        self._seconds = seconds
        self._overdue = overdue
        self._kept: tuple[float, T] | None = None
        self._asking = asyncio.Lock()
        self._behind: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """An answer that failed is not kept: the next one who comes asks again."""
        if self._kept is not None and 0 < self._age() - self._seconds <= self._overdue:
            if self._behind is None or self._behind.done():
                self._behind = asyncio.create_task(self._ask_behind())
            return self._kept[1]
        return await self._fresh()

    async def _fresh(self) -> T:
        async with self._asking:
            if self._kept is None or self._age() > self._seconds:
                self._kept = (time.monotonic(), await self._ask())
            return self._kept[1]

    async def _ask_behind(self) -> None:
        # Who comes once the answer is too old to be given is told why there is no newer one.
        with suppress(Exception):
            await self._fresh()

    def _age(self) -> float:
        return time.monotonic() - self._kept[0] if self._kept else math.inf

    @property
    def last(self) -> T | None:
        """The newest answer, however old."""
        return self._kept[1] if self._kept else None

    def forget(self) -> None:
        self._kept = None
