"""Bringing a token stream to a slower or busier reader: fewer messages, no later first token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from services.inference.answers import Piece

COALESCE_SECONDS = 0.02
# So that what comes faster than it is read does not grow into one message without end.
MOST_JOINED = 256


async def coalesced(pieces: AsyncIterator[Piece], seconds: float = COALESCE_SECONDS) -> AsyncIterator[Piece]:
    """The same text in pieces that leave at least `seconds` apart; what comes sooner goes with what came before it.

    The first goes at once, and so does one that comes later than that. A reader that takes longer than `seconds`
    over a piece gets what has come meanwhile in one.
    """
    clock = asyncio.get_running_loop().time
    ahead = _Ahead(pieces)
    due, behind = clock(), False
    try:
        while (piece := await ahead.next()) is not None:
            for _ in range(MOST_JOINED):
                early = due - clock()
                if piece.finish is not None or (early <= 0 and not behind):
                    break
                following = await ahead.soon(max(early, 0))
                if following is None:
                    break
                piece = joined(piece, following)
            due = clock() + seconds
            yield piece
            behind = clock() > due
    finally:
        await ahead.close()


class _Ahead:
    """A stream that can be asked for what comes within a time."""

    def __init__(self, pieces: AsyncIterator[Piece]) -> None:
        self._pieces = pieces
        self._asked: asyncio.Future[Piece | None] | None = None

    async def next(self) -> Piece | None:
        """The next piece, None at the end. Raises what the stream raises."""
        asked, self._asked = self._asked, None
        # Without a task where none was made yet: it would be the dearest part of a token that comes alone.
        return await (anext(self._pieces, None) if asked is None else asked)

    async def soon(self, seconds: float) -> Piece | None:
        """The next piece if it comes in time; an end or an error is left to `next`."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(anext(self._pieces, None))
        asked = self._asked
        done, _ = await asyncio.wait({asked}, timeout=seconds)
        if not done or asked.exception() is not None or asked.result() is None:
            return None
        self._asked = None
        return asked.result()

    async def close(self) -> None:
        """Ends the stream, which ends the work behind it."""
        if self._asked is not None:
            self._asked.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._asked
        close = getattr(self._pieces, "aclose", None)
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
