"""Bodies of OpenAI-compatible requests, and the sampling they ask for.

Fields of theirs that we cannot honour are refused rather than ignored, so nobody gets another answer
than the one they asked for. `repetition_penalty`, `top_k` and `min_p` are named as vLLM names them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.inference.sampling import MAX_SAMPLES, Sampling


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = ""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    n: int = Field(1, ge=1, le=MAX_SAMPLES)
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    # Accepted because clients send it; it changes nothing.
    user: str | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    def sampling(self, logprobs: int | None) -> Sampling:
        """Raises InvalidInputs. What is not given takes the paper's value."""
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "logprobs": logprobs,
        }
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(stop=stop, **{field: value for field, value in given.items() if value is not None})  # type: ignore[arg-type]

    @property
    def usage_in_stream(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


class ChatTurn(BaseModel):
    model_config = ConfigDict(extra="ignore")

    role: str
    content: str


class ChatBody(_Body):
    """POST /v1/chat/completions."""

    messages: list[ChatTurn]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None

    def chat_sampling(self) -> Sampling:
        if self.max_completion_tokens is not None:
            self.max_tokens = self.max_completion_tokens
        return self.sampling((self.top_logprobs or 0) if self.logprobs else None)


class CompletionBody(_Body):
    """POST /v1/completions."""

    prompt: str
    logprobs: int | None = None
    echo: Literal[False] | None = None

    def completion_sampling(self) -> Sampling:
        return self.sampling(self.logprobs)


class ScoreBody(BaseModel):
    """POST /v1/score, ours: log-likelihood of continuations of a text or a conversation, or of the text itself."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    messages: list[ChatTurn] = []
    continuations: list[str] = Field([], max_length=256)


def chat_body(sampling: Sampling, n: int = 1) -> dict[str, Any]:
    """The sampling part of a chat request to a replica of ours."""
    body = _sampling_body(sampling, n)
    if sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    return body


def completion_body(sampling: Sampling, n: int = 1) -> dict[str, Any]:
    body = _sampling_body(sampling, n)
    if sampling.logprobs is not None:
        body["logprobs"] = sampling.logprobs
    return body


def _sampling_body(sampling: Sampling, n: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "max_tokens": sampling.max_tokens,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "n": n,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    return body
