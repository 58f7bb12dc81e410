"""What waits for, or occupies, a slot of the batching engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.inference.replica.engines.base import Drawn, TokenScores
from services.inference.replica.engines.sampler import Drawer
from services.inference.replica.engines.slots import Slot


@dataclass(slots=True, eq=False)
class Job:
    """`prompt` is run into a slot's cache in chunks; `run` counts its tokens already there."""

    prompt: list[int]
    loop: asyncio.AbstractEventLoop
    slot: Slot | None = None
    run: int = 0
    started: bool = False
    cancelled: bool = False

    @property
    def reserved(self) -> int:
        """Positions of the cache that the job may come to use."""
        raise NotImplementedError


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
    def position(self) -> int:
        """Where the next token goes."""
        return len(self.prompt) + len(self.drawer.generated) - 1


@dataclass(slots=True, eq=False)
class ScoringJob(Job):
    """`prompt` is the shared prefix without its last token, which is the first input of every continuation."""

    first: int = field(kw_only=True)
    continuations: list[Sequence[int]] = field(kw_only=True)
    result: asyncio.Future[list[TokenScores]] = field(kw_only=True)

    @property
    def reserved(self) -> int:
        return len(self.prompt) + 1 + max(len(continuation) for continuation in self.continuations)
