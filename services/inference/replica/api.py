"""The HTTP endpoint of a served model: OpenAI's form, plus /v1/score and /facts of our own."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.inference.answers import Piece, TextScore, Usage
from services.inference.openai_api import replies
from services.inference.openai_api.errors import install_errors
from services.inference.openai_api.guard import Guard
from services.inference.openai_api.requests import ChatBody, CompletionBody, ScoreBody
from services.inference.replica.engines.base import EngineStopped
from services.inference.replica.model import ServedModel, Verification
from services.inference.sampling import Sampling
from services.inference.text_input import check_prompt, check_turns
from services.shared.errors import InvalidInput, ResourceExhausted

# Requests beyond those being decoded; more are refused with a hint when to come back.
MAX_WAITING = 512


def build_api(served: ServedModel, verification: Verification, token: str) -> FastAPI:
    api = FastAPI(title="lima replica", docs_url=None, redoc_url=None, openapi_url=None)
    install_guard(api, token)
    install_errors(api)
    install_engine_errors(api)

    @api.get("/facts")
    async def facts() -> dict[str, Any]:
        found = served.engine.facts
        about = asdict(found) | {"stop_ids": sorted(found.stop_ids), "load": asdict(served.engine.load())}
        return about | {"verification": verification.message, "pid": os.getpid()}

    @api.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": served.name, "object": "model", "created": 0, "owned_by": "lima"}]}

    @api.post("/v1/chat/completions")
    async def chat(body: ChatBody) -> Response:
        sampling = body.chat_sampling()
        turns = check_turns([(turn.role, turn.content) for turn in body.messages])
        if body.response_format not in (None, {"type": "text"}):
            raise InvalidInput("response_format", body.response_format, "is not offered by this engine")
        ids = await served.chat_ids(turns)
        return await _reply(served, "chat", ids, sampling, body)

    @api.post("/v1/completions")
    async def complete(body: CompletionBody) -> Response:
        sampling = body.completion_sampling()
        ids = await served.text_ids(check_prompt(body.prompt))
        return await _reply(served, "text", ids, sampling, body)

    @api.post("/v1/score")
    async def score(body: ScoreBody) -> dict[str, Any]:
        turns = check_turns([(turn.role, turn.content) for turn in body.messages]) if body.messages else ()
        if bool(body.text) == bool(turns):
            raise InvalidInput("text", body.text, "must be given, or messages, and not both")
        _admit(served)
        scores = await served.score(body.text and check_prompt(body.text, "text"), turns, body.continuations)
        return {"model": served.name, "scores": [_score(item) for item in scores]}

    return api


def install_guard(api: FastAPI, token: str) -> None:
    """Every route asks for the bearer token, where there is one."""
    expected = f"Bearer {token}".encode()

    def check(request: Request) -> Response | None:
        given = request.headers.get("authorization", "").encode()
        if token and not hmac.compare_digest(given, expected):
            return JSONResponse(replies.error("a bearer token is needed", "authentication_error"), 401)
        return None

    api.add_middleware(Guard, check=check)


def install_engine_errors(api: FastAPI) -> None:
    """An engine that ended is told as a replica that is away: sending the request again is safe."""

    @api.exception_handler(EngineStopped)
    async def stopped(_: Request, error: EngineStopped) -> JSONResponse:
        return JSONResponse(replies.error(str(error), "server_error", code="unavailable"), 503)


async def _reply(
    model: ServedModel, kind: replies.Kind, ids: Sequence[int], sampling: Sampling, body: ChatBody | CompletionBody
) -> Response:
    _admit(model)
    if not body.stream:
        return JSONResponse(replies.whole(kind, await model.answer(ids, sampling, body.n)))
    chunks = replies.Chunks(kind, model.name, body.usage_in_stream)
    return StreamingResponse(_events(model, ids, sampling, body.n, chunks), media_type="text/event-stream")


async def _events(
    model: ServedModel, ids: Sequence[int], sampling: Sampling, n: int, chunks: replies.Chunks
) -> AsyncIterator[bytes]:
    total = Usage(prompt_tokens=len(ids))
    try:
        async with aclosing(_samples(model, ids, sampling, n)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if piece.usage is not None:
                    total += Usage(completion_tokens=piece.usage.completion_tokens)
                yield chunks.event(piece)
    except EngineStopped as error:
        yield replies.sse(replies.error(str(error), "server_error", code="unavailable"))
        return
    yield chunks.last(total, model.engine.deviations(sampling))


async def _samples(model: ServedModel, ids: Sequence[int], sampling: Sampling, n: int) -> AsyncIterator[Piece]:
    """The pieces of n answers, interleaved as they come."""
    if n == 1:
        async for piece in model.stream(ids, sampling):
            yield piece
        return
    queue: asyncio.Queue[Piece | BaseException] = asyncio.Queue()

    async def one(index: int) -> None:
        try:
            async for piece in model.stream(ids, sampling.for_sample(index), index):
                queue.put_nowait(piece)
        except EngineStopped as error:
            queue.put_nowait(error)

    tasks = [asyncio.create_task(one(index)) for index in range(n)]
    try:
        open_samples = n
        while open_samples:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            open_samples -= item.finish is not None
            yield item
    finally:
        for task in tasks:
            task.cancel()


def _admit(model: ServedModel) -> None:
    waiting = model.engine.load().waiting
    if waiting >= MAX_WAITING:
        raise ResourceExhausted(f"{waiting} requests are waiting for this replica already", retry_seconds=5)


def _score(score: TextScore) -> dict[str, Any]:
    return {"logprob": score.logprob, "tokens": [[token.token, token.logprob] for token in score.tokens]}
