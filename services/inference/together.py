"""What many calls want of the database at once, asked for once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
# Databases bound the parameters of one statement.
MOST = 200


class Together(Generic[T, R]):
    """A function of one thing, made of a function of many.

    Nobody waits for company: the first call is worked on at once, and those that come meanwhile are the next batch.
    A batch begins after each of its calls came, so what a caller wrote before is seen. A caller that is cancelled
    does not take its thing out of the batch.

    Args:
        work: gives one result for each thing, in their order; what it raises, all of the batch are told.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, thing: T) -> R:
        result: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, result))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work_through())
        return await result

    async def _work_through(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._one_batch(batch)
        finally:
            self._worker = None

    async def _one_batch(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._work([thing for thing, _ in batch])
        except BaseException as error:
            for _, waiting in batch:
                if waiting.done():
                    continue
                if isinstance(error, Exception):
                    waiting.set_exception(error)
                else:
                    waiting.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for (_, waiting), result in zip(batch, results, strict=True):
            if not waiting.done():
                waiting.set_result(result)
