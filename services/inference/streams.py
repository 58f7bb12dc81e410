"""Bringing a token stream to a slower or busier reader: fewer messages, no later first token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from services.inference.answers import Piece

COALESCE_SECONDS = 0.02
# A reader that falls this far behind stops the writer.
MAX_PENDING = 256


async def coalesced(pieces: AsyncIterator[Piece], seconds: float = COALESCE_SECONDS) -> AsyncIterator[Piece]:
    """The same text in pieces that leave at least `seconds` apart; what comes sooner goes with what came before it.

    The first goes at once, and so does one that comes later than that.
    """
    try:
        # Not through the queue: nobody waits for a task to be made before a first token.
        first = await anext(pieces, None)
        if first is not None:
            yield first
            async with aclosing(_in_groups(pieces, seconds)) as groups:
                async for piece in groups:
                    yield piece
    finally:
        await _close(pieces)


async def _in_groups(pieces: AsyncIterator[Piece], seconds: float) -> AsyncGenerator[Piece, None]:
    queue: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue(MAX_PENDING)

    async def pump() -> None:
        try:
            async for piece in pieces:
                await queue.put(piece)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(pump())
    sent = loop.time()
    try:
        item = await queue.get()
        while isinstance(item, Piece):
            early = sent + seconds - loop.time()
            if item.finish is None and early > 0:
                await asyncio.sleep(early)
            following: Piece | BaseException | None = item
            while item.finish is None and not queue.empty():
                following = queue.get_nowait()
                if not isinstance(following, Piece):
                    break
                item = joined(item, following)
            sent = loop.time()
            yield item
            # An end or an error that was met while joining has its turn after the text before it.
            item = await queue.get() if isinstance(following, Piece) else following
        if item is not None:
            raise item
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


async def _close(pieces: AsyncIterator[Piece]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        with suppress(RuntimeError):
            await close()


def joined(first: Piece, second: Piece) -> Piece:
    return Piece(
        first.text + second.text,
        second.finish,
        second.usage or first.usage,
        first.logprobs + second.logprobs,
        second.index,
        second.deviations or first.deviations,
    )
