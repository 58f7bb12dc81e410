"""Our own models: HTTP to their Ray Serve replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from services.inference.answers import Answer, Piece, TextScore, TokenLogprob
from services.inference.backends.base import Prompt
from services.inference.openai_api import parsing
from services.inference.openai_api.requests import chat_body, completion_body
from services.inference.replica_side import BROKEN, ReplicaSide
from services.inference.sampling import Sampling
from services.shared.errors import (
    FailedPrecondition,
    InvalidInput,
    LimaError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


class ReplicaBackend:
    """One version served under `route` of the replica side."""

    def __init__(self, side: ReplicaSide, resource: str, route: str) -> None:
        self._side = side
        self._resource = resource
        self._route = route

    @property
    def resource(self) -> str:
        return self._resource

    async def answer(self, prompt: Prompt, sampling: Sampling, n: int) -> Answer:
        path, body = _request(prompt, sampling, n)
        reply = await self._post(path, body)
        deviations = tuple(str(deviation) for deviation in reply.get("deviations", ()))
        completions = parsing.parse_completions(reply)
        return Answer(completions, parsing.parse_usage(reply.get("usage")), self._resource, deviations)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        path, body = _request(prompt, sampling, 1)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        last = Piece()
        async with self._open(path, body) as response:
            chunks = response.content.iter_any()
            async for event in parsing.parse_events(chunks):
                piece = parsing.parse_piece(event)
                if piece is None:
                    continue
                if piece.finish is not None:
                    last = piece
                elif piece.usage is not None:
                    last = replace(last, usage=piece.usage, deviations=piece.deviations)
                else:
                    yield piece
            async for _ in chunks:
                # Up to its very end: a reply that is not read whole takes its connection with it.
                pass
        yield last

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[TextScore]:
        messages = [turn.model_dump() for turn in prompt.turns]
        body = {"text": prompt.text, "messages": messages, "continuations": list(continuations)}
        reply = await self._post("/v1/score", body)
        return [
            TextScore(score["logprob"], tuple(TokenLogprob(token, logprob) for token, logprob in score["tokens"]))
            for score in reply["scores"]
        ]

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._open(path, body) as response:
            return parsing.parse_json(await response.read())

    @asynccontextmanager
    async def _open(self, path: str, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._side.open("POST", f"{self._route}{path}", body) as response:
                if response.status != 200:
                    raise _refusal(self._resource, response.status, await response.read())
                yield response
        except BROKEN as error:
            raise Unavailable(
                f"the replica of {self._resource} broke off ({type(error).__name__})",
                remedy="send the request again",
                retry_seconds=1,
            ) from error


def _request(prompt: Prompt, sampling: Sampling, n: int) -> tuple[str, dict[str, Any]]:
    if prompt.schema_json:
        raise InvalidInput("response_schema_json", prompt.schema_json, "is not offered by this model's engine")
    if prompt.turns:
        messages = [turn.model_dump() for turn in prompt.turns]
        return "/v1/chat/completions", chat_body(sampling, n) | {"messages": messages}
    return "/v1/completions", completion_body(sampling, n) | {"prompt": prompt.text}


def _refusal(resource: str, status: int, data: bytes) -> LimaError:
    """The replica's error, as the error that it was there."""
    message = parsing.error_message(data)
    if status == 400:
        field = _field(data)
        return InvalidInput.rebuild(message) if not field else _invalid(message, field)
    if status == 401:
        return Unauthenticated(f"the replica of {resource} refused our token", remedy="give both sides one LIMA_TOKEN")
    if status == 409:
        return FailedPrecondition(message)
    if status == 404:
        # It was ready a moment ago: the replica side was started anew, and the front will declare it again.
        return Unavailable(f"{resource} is not served now", remedy="send the request again", retry_seconds=2)
    if status == 429:
        return ResourceExhausted(message, retry_seconds=1)
    return Unavailable(f"the replica of {resource} answered {status}: {message}", retry_seconds=1)


def _field(data: bytes) -> str:
    try:
        return str(parsing.parse_json(data)["error"]["param"] or "")
    except (LimaError, KeyError, TypeError):
        return ""


def _invalid(message: str, field: str) -> InvalidInput:
    value, _, rule = message.removeprefix(f"{field} = ").partition(": ")
    return InvalidInput.rebuild(message, violations=InvalidInput(field, value, rule or message).violations)
