"""Talking to one model, or to two side by side, streaming."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import grpc
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lima.common.v1 import message_pb2
from lima.curation.v1 import authoring_pb2
from lima.inference.v1 import inference_pb2, model_pb2, sampling_pb2
from services.console import security
from services.console.answers import calls
from services.console.backends import PAGE_SECONDS, STREAM_SECONDS, Backends
from services.console.comparison import Conversation, compare
from services.console.failures import describe
from services.console.pages.authoring import create
from services.console.sessions import Permission, Session
from services.console.tasks import code_of
from services.console.views import last_part, page, translator_of
from services.shared.rpc.status import to_error

router = APIRouter()
Operator = Annotated[Session, Depends(security.need(Permission.OPERATE))]

MAX_TURN = 100_000


class Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MAX_TURN)


class Sampling(BaseModel):
    """What the page sets; anything unset takes the paper's value, and the service checks the ranges."""

    model_config = ConfigDict(extra="forbid")

    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = Field(None, ge=0, lt=2**32)
    seed: int | None = Field(None, ge=0, lt=2**64)


class StreamRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=300)
    messages: list[Turn] = Field(min_length=1, max_length=200)
    sampling: Sampling = Sampling()


class ExampleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: list[Turn] = Field(min_length=2, max_length=200)


class SideRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=300)
    messages: list[Turn] = Field(min_length=2, max_length=200)


class JudgeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sides: list[SideRequest] = Field(min_length=2, max_length=2)


@router.get("/chat")
async def chat(request: Request, _session: Operator, a: str = "", b: str = "") -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        answer = await backends.models.ListModels(model_pb2.ListModelsRequest(page_size=200), timeout=PAGE_SECONDS)
    ready = [model for model in answer.models if model.state == model_pb2.Model.STATE_READY]
    first = a or (ready[0].name if ready else "")
    return page(request, "chat.html", models=ready, waiting=len(answer.models) - len(ready), chosen=(first, b))


@router.post("/chat/stream")
async def stream(request: Request, body: StreamRequest, _session: Operator) -> Response:
    """JSON lines: {"text"} as it comes, then {"finish", "tokens"}; or {"error"}. Closing it stops the model."""
    backends: Backends = request.app.state.resources.backends
    asked = inference_pb2.StreamChatRequest(
        model=body.model,
        messages=_messages(body.messages),
        sampling=sampling_pb2.Sampling(**body.sampling.model_dump(exclude_none=True)),
    )
    lines = _lines(backends.inference.StreamChat(asked, timeout=STREAM_SECONDS), request)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"x-accel-buffering": "no"})


@router.post("/chat/example")
async def save_as_example(request: Request, body: ExampleRequest, session: Operator) -> Response:
    draft = authoring_pb2.Draft(
        group="A",
        split="train",
        messages=_messages(body.messages),
        tags=["dialogue"] if len(body.messages) > 2 else [],
        author=session.name,
    )
    created = await create(request, draft)
    return JSONResponse({"next": f"/author/d/{quote(last_part(created.name))}"})


@router.post("/chat/judge")
async def judge_this(request: Request, body: JudgeRequest, session: Operator) -> Response:
    """Makes the two answers a study of one item, and leads to its blind page."""
    backends: Backends = request.app.state.resources.backends
    conversations = [
        Conversation(side.model, [(turn.role, turn.content) for turn in side.messages]) for side in body.sides
    ]
    async with calls():
        study = await compare(backends, conversations[0], conversations[1])
    return JSONResponse({"next": f"/annotate/{code_of(request.app.state.doors.secret, study)}"})


async def _lines(call: Any, request: Request) -> AsyncIterator[str]:
    try:
        async for part in call:
            if part.text:
                yield _line({"text": part.text})
            if part.finish_reason:
                finish = sampling_pb2.FinishReason.Name(part.finish_reason).removeprefix("FINISH_REASON_").lower()
                yield _line({"finish": finish, "tokens": part.usage.completion_tokens, "model": part.model})
    except grpc.aio.AioRpcError as failure:
        error = to_error(failure)
        yield _line({"error": f"{translator_of(request)(describe(error)[1])} {error.message}"})
    finally:
        # The browser has gone or pressed stop: the model must not go on for nobody.
        call.cancel()


def _line(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _messages(turns: list[Turn]) -> list[message_pb2.Message]:
    return [message_pb2.Message(role=turn.role, content=turn.content) for turn in turns]
