"""What a model gives back, in plain values: the words that every backend and every door share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithm of one token's probability, and of the likeliest others in its place."""

    token: str
    logprob: float
    alternatives: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    finish: Finish
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """`model` is the version that answered; `cost_usd` is 0 for our own models."""

    completions: tuple[Completion, ...]
    usage: Usage
    model: str
    deviations: tuple[str, ...] = ()
    cost_usd: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a streamed answer; `finish` and `usage` are set on the last one only. `index` tells samples apart."""

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    index: int = 0
    # Told with the last piece.
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextScore:
    """Sum over the scored tokens, natural logarithm."""

    logprob: float
    tokens: tuple[TokenLogprob, ...] = field(default=())
