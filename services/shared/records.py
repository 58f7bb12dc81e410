"""The records that programs leave for one another in the object store.

A record is one JSON object: one line of a JSONL file, or one small file. Every reader of foreign
or older data goes through these models, so a malformed line is refused with the field named.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "dev", "test"]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(Record):
    """One turn of a conversation: what Hugging Face tools read as an entry of "messages"."""

    role: Role
    content: str


class Attribution(Record):
    """Who wrote a text and under what terms."""

    url: str = ""
    author: str = ""
    licence: str = ""
    title: str = ""
    created: str = ""


class Example(Record):
    """One line of `datasets/<name>/<digest>/{train,dev,test}.jsonl`.

    Test examples may hold a prompt alone; train examples end with an assistant turn.
    """

    id: str
    source: str
    split: Split
    messages: tuple[Turn, ...] = Field(min_length=1)
    attribution: Attribution = Attribution()
    tags: tuple[str, ...] = ()
    provenance: dict[str, Any] = {}

    def prompt(self) -> tuple[Turn, ...]:
        """The turns up to and including the last user turn."""
        last = max((i for i, turn in enumerate(self.messages) if turn.role == "user"), default=-1)
        return self.messages[: last + 1]


class Response(Record):
    """One line of `responses/<digest>.jsonl`."""

    prompt_id: str
    sample: int = 0
    source: str = ""
    messages: tuple[Turn, ...]
    response: str
    model: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    seed: int | None = None
    tags: tuple[str, ...] = ()


class RunPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class RunStatus(Record):
    """`runs/<run>/status.json`: what the operator, the CLI and the console mirror."""

    run: str
    phase: RunPhase
    message: str = ""
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    total_epochs: int = 0
    loss: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    last_checkpoint: str = ""
    selected_checkpoint: str = ""
    restarts: int = 0
    updated: datetime

    @property
    def progress(self) -> float:
        """Share of optimiser steps done, in [0, 1]."""
        return self.step / self.total_steps if self.total_steps else 0.0


class MetricsRow(Record):
    """One line of `runs/<run>/metrics.jsonl`: one optimiser step, or one evaluation."""

    kind: Literal["step", "evaluation"]
    step: int
    epoch: float
    loss: float
    learning_rate: float | None = None
    gradient_norm: float | None = None
    tokens_per_second: float | None = None
    perplexity: float | None = None
    target_tokens: int | None = None
    time: datetime
