"""The front's OpenAI-compatible endpoint: every model of ours by name, behind the same doors as the RPCs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.inference.answers import Piece, Usage
from services.inference.backends.base import Prompt
from services.inference.generation import Generation
from services.inference.openai_api import replies
from services.inference.openai_api.errors import install_errors, reply_to
from services.inference.openai_api.guard import Guard
from services.inference.openai_api.requests import ChatBody, CompletionBody
from services.inference.registry import Registry
from services.inference.sampling import Sampling
from services.inference.settings import InferenceSettings
from services.inference.text_input import check_prompt, check_turns
from services.shared.errors import FailedPrecondition, InvalidInput, LimaError, Unauthenticated
from services.shared.rpc.principal import Principal, Role, Tokens

logger = structlog.get_logger()

MAX_BODY_BYTES = 8 << 20
LISTED_MODELS = 1000


def build_api(generation: Generation, registry: Registry, tokens: Tokens) -> FastAPI:
    api = FastAPI(title="lima", docs_url=None, redoc_url=None, openapi_url=None)
    install_errors(api)
    install_guard(api, tokens)

    @api.get("/v1/models")
    async def models() -> dict[str, Any]:
        rows = await registry.page(None, LISTED_MODELS)
        data = [
            {"id": row.resource, "object": "model", "created": int(row.created), "owned_by": row.kind} for row in rows
        ]
        return {"object": "list", "data": data}

    @api.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        turns = check_turns([(turn.role, turn.content) for turn in body.messages])
        if body.response_format not in (None, {"type": "text"}):
            raise InvalidInput("response_format", body.response_format, "must be text: schemas go through Chat")
        prompt = Prompt(turns=turns, caller=request.state.caller.name)
        return await _reply(generation, "chat", prompt, body, body.chat_sampling())

    @api.post("/v1/completions")
    async def complete(body: CompletionBody, request: Request) -> Response:
        prompt = Prompt(text=check_prompt(body.prompt), caller=request.state.caller.name)
        return await _reply(generation, "text", prompt, body, body.completion_sampling())

    return api


def install_guard(api: FastAPI, tokens: Tokens) -> None:
    """The same tokens and roles as the RPCs, and a bound on what is read."""

    def check(request: Request) -> Response | None:
        try:
            caller: Principal = tokens.authenticate(request.headers.get("authorization", ""))
            if request.method != "GET":
                caller.require(Role.ANNOTATOR, "ask a model")
        except Unauthenticated:
            message = "a known token is needed: Authorization: Bearer TOKEN"
            return JSONResponse(replies.error(message, "authentication_error", code="invalid_api_key"), 401)
        except LimaError as error:
            return reply_to(error)
        length = request.headers.get("content-length", "")
        if request.method != "GET" and not (length.isdecimal() and int(length) <= MAX_BODY_BYTES):
            message = f"a body with a content-length of at most {MAX_BODY_BYTES} bytes is needed"
            return JSONResponse(replies.error(message, "invalid_request_error"), 413)
        request.state.caller = caller
        return None

    api.add_middleware(Guard, check=check)


async def _reply(
    generation: Generation, kind: replies.Kind, prompt: Prompt, body: ChatBody | CompletionBody, sampling: Sampling
) -> Response:
    if not body.stream:
        return JSONResponse(replies.whole(kind, await generation.answer(body.model, prompt, sampling, body.n)))
    if body.n != 1:
        raise InvalidInput("n", body.n, "must be 1 with stream")
    model, pieces = await generation.stream(body.model, prompt, sampling)
    # The first piece is waited for, so that a refusal is a status and not the middle of a stream.
    first = await anext(aiter(pieces))
    chunks = replies.Chunks(kind, model, body.usage_in_stream)
    return StreamingResponse(_events(first, pieces, chunks), media_type="text/event-stream")


async def _events(first: Piece, pieces: AsyncIterator[Piece], chunks: replies.Chunks) -> AsyncIterator[bytes]:
    last = first
    async with aclosing(pieces) as rest:  # type: ignore[type-var]
        yield chunks.event(first)
        try:
            async for piece in rest:
                last = piece
                yield chunks.event(piece)
        except LimaError as error:
            yield replies.sse(replies.error(str(error), "server_error", code=error.reason.lower()))
            return
    yield chunks.last(last.usage or Usage(), last.deviations)


@asynccontextmanager
async def serving(settings: InferenceSettings, generation: Generation, registry: Registry) -> AsyncIterator[int | None]:
    """The endpoint for the length of the block; its port, or None where it is switched off."""
    if settings.openai_port is None:
        yield None
        return
    api = build_api(generation, registry, Tokens.from_settings(settings))
    listener = _listen(settings.bind_host, settings.openai_port)
    port = int(listener.getsockname()[1])
    config = uvicorn.Config(api, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=20)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="openai")
    logger.info("openai_endpoint", url=f"http://{settings.bind_host}:{port}/v1")
    try:
        yield port
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals to the program, which stops all its parts in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise FailedPrecondition(
            f"cannot listen on {host}:{port} ({error.strerror})",
            remedy="stop the program that holds the port, or set another LIMA_OPENAI_PORT",
        ) from error
