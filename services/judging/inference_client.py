"""The inference service as judges use it."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TypeVar

import grpc
import grpc.aio

from lima.common.v1 import message_pb2
from lima.inference.v1 import inference_pb2, inference_pb2_grpc, model_pb2, model_pb2_grpc, sampling_pb2
from services.judging.asking import Answer, Question, ResolvedModel
from services.shared.errors import FailedPrecondition
from services.shared.rpc.status import to_error

CALL_SECONDS = 600.0
_T = TypeVar("_T")


class InferenceClient:
    """Asks over gRPC; every failure is one of services.shared.errors."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._inference = inference_pb2_grpc.InferenceServiceStub(channel)
        self._models = model_pb2_grpc.ModelServiceStub(channel)

    async def resolve(self, model: str) -> ResolvedModel:
        name = model if "/" in model else f"models/{model}"
        found = await _told(self._models.GetModel(model_pb2.GetModelRequest(name=name), timeout=60))
        return ResolvedModel(found.name, structured=found.kind == model_pb2.Model.KIND_UPSTREAM)

    async def ask(self, question: Question) -> Answer:
        started = time.monotonic()
        if question.continuations:
            return await self._score(question, started)
        request = inference_pb2.ChatRequest(
            model=question.model,
            messages=_messages(question),
            sampling=sampling_pb2.Sampling(
                temperature=question.temperature,
                top_p=1.0,
                repetition_penalty=1.0,
                max_tokens=question.max_tokens,
                seed=question.seed,
            ),
            response_schema_json=question.schema,
        )
        reply = await _told(self._inference.Chat(request, timeout=CALL_SECONDS))
        if not reply.completions:
            raise FailedPrecondition(f"{question.model} answered without a completion")
        return Answer(
            text=reply.completions[0].text,
            prompt_tokens=reply.usage.prompt_tokens,
            completion_tokens=reply.usage.completion_tokens,
            cost_usd=reply.cost_usd,
            seconds=time.monotonic() - started,
            deviations=tuple(reply.deviations),
        )

    async def _score(self, question: Question, started: float) -> Answer:
        request = inference_pb2.ScoreRequest(
            model=question.model, messages=_messages(question), continuations=question.continuations
        )
        reply = await _told(self._inference.Score(request, timeout=CALL_SECONDS))
        if len(reply.scores) != len(question.continuations):
            raise FailedPrecondition(
                f"{question.model} scored {len(reply.scores)} of {len(question.continuations)} continuations"
            )
        return Answer(
            text="",
            logprobs=tuple(score.logprob for score in reply.scores),
            completion_tokens=sum(score.token_count for score in reply.scores),
            seconds=time.monotonic() - started,
        )


def _messages(question: Question) -> list[message_pb2.Message]:
    return [message_pb2.Message(role=turn.role, content=turn.content) for turn in question.messages]


async def _told(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except grpc.RpcError as failure:
        raise to_error(failure) from None
