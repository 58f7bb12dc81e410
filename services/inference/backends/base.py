"""The interface that every source of answers has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.inference.answers import Answer, Piece, TextScore
from services.inference.sampling import Sampling
from services.shared.records import Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """Either raw `text`, or `turns`. `schema_json` asks for a reply in that JSON schema; `caller` pays for it."""

    text: str = ""
    turns: tuple[Turn, ...] = ()
    schema_json: str = ""
    caller: str = ""

    @property
    def characters(self) -> int:
        return len(self.text) + sum(len(turn.content) for turn in self.turns)


class Backend(Protocol):
    """One model version. Cancelling a call, or closing a stream, ends the work behind it."""

    @property
    def resource(self) -> str: ...

    async def answer(self, prompt: Prompt, sampling: Sampling, n: int) -> Answer: ...

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        """Pieces as they come; the last has `finish` and `usage`."""
        ...

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[TextScore]: ...
