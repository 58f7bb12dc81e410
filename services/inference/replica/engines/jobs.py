"""What waits for, or occupies, a slot of the batching engine, and the way back to whoever asked."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.inference.replica.engines.base import Drawn, TokenScores
from services.inference.replica.engines.sampler import Drawer
from services.inference.replica.engines.slots import Slot


@dataclass(slots=True, eq=False)
class Job(ABC):
    """`prompt` is run into a slot's cache in chunks; `run` counts its tokens already there."""

    prompt: list[int]
    loop: asyncio.AbstractEventLoop
    slot: Slot | None = None
    run: int = 0
    started: bool = False
    cancelled: bool = False

    @property
    @abstractmethod
    def reserved(self) -> int:
        """Positions of the cache that the job may come to use."""

    @property
    @abstractmethod
    def prefilling(self) -> bool:
        """Whether its prompt, or what it scores, has still to be run."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tells whoever waits; on the event loop of the asker only."""


@dataclass(slots=True, eq=False)
class GenerationJob(Job):
    drawer: Drawer = field(kw_only=True)
    max_tokens: int = field(kw_only=True)
    pieces: asyncio.Queue[Drawn | BaseException] = field(default_factory=asyncio.Queue)
    # The token that the next step feeds in; None until the prompt has been run.
    next_token: int | None = None

    @property
    def reserved(self) -> int:
        return len(self.prompt) + self.max_tokens

    @property
    def prefilling(self) -> bool:
        return self.next_token is None

    @property
    def position(self) -> int:
        """Where the next token goes."""
        return len(self.prompt) + len(self.drawer.generated) - 1

    def give(self, piece: Drawn) -> None:
        self.pieces.put_nowait(piece)

    def fail(self, error: BaseException) -> None:
        self.pieces.put_nowait(error)


@dataclass(slots=True, eq=False)
class ScoringJob(Job):
    """`prompt` is the shared prefix without its last token, which is the first input of every continuation."""

    first: int = field(kw_only=True)
    continuations: list[Sequence[int]] = field(kw_only=True)
    result: asyncio.Future[list[TokenScores]] = field(kw_only=True)

    @property
    def reserved(self) -> int:
        return len(self.prompt) + 1 + max(len(continuation) for continuation in self.continuations)

    @property
    def prefilling(self) -> bool:
        return True

    def give(self, scores: list[TokenScores]) -> None:
        if not self.result.done():
            self.result.set_result(scores)

    def fail(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)


class Deliveries:
    """What one turn of the decoding loop made, handed over with one wake-up of each event loop, not one per token."""

    def __init__(self) -> None:
        self._calls: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}

    def add(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._calls.setdefault(loop, []).append(call)

    def send(self) -> None:
        waiting, self._calls = self._calls, {}
        for loop, calls in waiting.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_call_all, calls)


def _call_all(calls: list[Callable[[], None]]) -> None:
    for call in calls:
        call()
