"""What an engine is: token ids and a way of drawing in, pieces of tokens out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.inference.sampling import Sampling

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a caller may know about the loaded model.

    `context_length` counts prompt and output together; `stop_ids` are the tokens that end a text.
    """

    engine: str
    context_length: int
    vocabulary_size: int
    parameter_count: int
    stop_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One drawn token; `logprob` is the model's own (no penalty, no temperature), natural logarithm."""

    token_id: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens in the order drawn. `finish` is set on the last piece only; the stop token is not among `tokens`."""

    tokens: tuple[TokenChoice, ...] = ()
    finish: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-likelihood of `token_ids`, one natural logarithm for each."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.logprobs)


@dataclass(slots=True)
class EngineLoad:
    """How busy an engine is, for admission and for metrics."""

    active: int = 0
    waiting: int = 0
    slots: int = 0
    tokens_drawn: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    extra: dict[str, float] = field(default_factory=dict)


class EngineStopped(RuntimeError):
    """The engine ended, or failed, while the request was in it."""


class Engine(Protocol):
    """Closing the iterator of `generate` cancels the request and frees its place at once."""

    @property
    def facts(self) -> ModelFacts: ...

    def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Drawn]:
        """`stop_bias` is added to the logits of the stop tokens, which brings a text to its end."""
        ...

    async def score(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[TokenScores]:
        """Scores each continuation given the prefix; an empty prefix leaves a text's first token unscored."""
        ...

    def deviations(self, sampling: Sampling) -> tuple[str, ...]:
        """How this engine's draws differ from what `sampling` asks for."""
        ...

    def load(self) -> EngineLoad: ...

    def check(self) -> None:
        """Raises EngineStopped if the engine no longer works."""
        ...

    def close(self) -> None: ...
