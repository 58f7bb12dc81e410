"""Recorded responses as a model: an answer is looked up by its prompt, exactly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.inference.answers import Answer, Completion, Piece, TextScore, Usage
from services.inference.backends.base import Prompt
from services.inference.sampling import Sampling
from services.shared.digest import digest_bytes
from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput, NotFound
from services.shared.objects import ObjectStore

MAX_FILE_BYTES = 256 << 20
# Pairs of field names by which prompt and answer are known: ours, then AlpacaEval's, then FastChat's.
FIELDS = (("prompt", "response"), ("prompt", "answer"), ("instruction", "output"), ("text", "output"))
DEVIATION = "recorded response: sampling is that of the recording"


@dataclass(frozen=True, slots=True)
class Recording:
    """`answers` by prompt; a prompt that occurs again has several samples, in file order."""

    digest: str
    answers: dict[str, tuple[str, ...]]


def read_recording(store: ObjectStore, uri: str) -> Recording:
    data = store.get_bytes(store.key(uri), MAX_FILE_BYTES)
    return parse_recording(data, uri)


def parse_recording(data: bytes, uri: str) -> Recording:
    """JSONL, or one JSON array as AlpacaEval publishes. Raises DataCorrupt with the place and the fault."""
    answers: dict[str, list[str]] = {}
    for place, row in _rows(data, uri):
        prompt, answer = _pair(row, f"{uri} {place}")
        answers.setdefault(prompt, []).append(answer)
    if not answers:
        raise InvalidInput("recorded_uri", uri, "must hold at least one prompt with its answer")
    return Recording(digest_bytes(data), {prompt: tuple(texts) for prompt, texts in answers.items()})


class RecordedBackend:
    def __init__(self, resource: str, recording: Recording) -> None:
        self._resource = resource
        self._answers = recording.answers

    @property
    def resource(self) -> str:
        return self._resource

    async def answer(self, prompt: Prompt, sampling: Sampling, n: int) -> Answer:
        texts = self._find(prompt)
        if n > len(texts):
            raise FailedPrecondition(f"{self._resource} holds {len(texts)} answers to this prompt, not {n}")
        completions = tuple(Completion(text, "stop") for text in texts[:n])
        return Answer(completions, Usage(), self._resource, (DEVIATION,))

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        yield Piece(self._find(prompt)[0], "stop", Usage(), deviations=(DEVIATION,))

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[TextScore]:
        raise FailedPrecondition(f"{self._resource} is a recording and cannot score text", remedy="name another model")

    def _find(self, prompt: Prompt) -> tuple[str, ...]:
        text = prompt.text or _single_turn(prompt, self._resource)
        if text not in self._answers:
            raise NotFound("recorded answer to", text, remedy="a recording answers its own prompts only, to the letter")
        return self._answers[text]


def _single_turn(prompt: Prompt, resource: str) -> str:
    users = [turn.content for turn in prompt.turns if turn.role == "user"]
    if len(users) != 1:
        raise FailedPrecondition(f"{resource} is a recording of single prompts, and this is a dialogue")
    return users[0]


def _rows(data: bytes, uri: str) -> list[tuple[str, Any]]:
    try:
        if data.lstrip()[:1] == b"[":
            return [(f"entry {number}", row) for number, row in enumerate(json.loads(data), start=1)]
    except (ValueError, RecursionError) as error:
        raise DataCorrupt(f"{uri} is not JSON: {error}", remedy="give JSONL or one JSON array") from None
    rows = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise DataCorrupt(f"{uri} line {number} is not JSON: {error}", remedy="give one object per line") from None
    return rows


def _pair(row: Any, place: str) -> tuple[str, str]:
    if isinstance(row, dict):
        for prompt_field, answer_field in FIELDS:
            prompt, answer = row.get(prompt_field), row.get(answer_field)
            if isinstance(prompt, str) and isinstance(answer, str) and prompt:
                return prompt, answer
        prompt, answer = _last_user(row.get("messages")), row.get("response")
        if prompt and isinstance(answer, str):
            return prompt, answer
    wanted = ", ".join("+".join(pair) for pair in FIELDS)
    raise DataCorrupt(f"{place} holds no prompt with an answer", remedy=f"name the fields one of: {wanted}")


def _last_user(messages: Any) -> str:
    if not isinstance(messages, list):
        return ""
    turns = [turn for turn in messages if isinstance(turn, dict) and turn.get("role") == "user"]
    content = turns[-1].get("content") if turns else ""
    return content if isinstance(content, str) else ""
