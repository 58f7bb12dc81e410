"""An inference service that answers by rule instead of by model, over the real stubs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lima.inference.v1 import inference_pb2, inference_pb2_grpc, model_pb2, model_pb2_grpc, sampling_pb2
from services.shared.errors import LimaError
from services.shared.rpc.server import Service, running
from services.shared.settings import Settings

ANSWER = re.compile(
    r"<<<(?P<fence>[0-9a-f]{12}) answer(?: (?P<side>[AB]))?>>>\n(?P<text>.*?)\n<<<end (?P=fence)>>>", re.S
)
Reply = Callable[[str, int], str]


def sides(question: str) -> dict[str, str]:
    """The answers in a question, by side."""
    return {match["side"] or "": match["text"] for match in ANSWER.finditer(question)}


def longest(question: str, attempt: int) -> str:
    """A consistent judge that likes the longer answer."""
    shown = sides(question)
    a, b = len(shown["A"]), len(shown["B"])
    return f"Because of its length.\nVerdict: {'neither' if a == b else 'A' if a > b else 'B'}"


def always_a(question: str, attempt: int) -> str:
    """A judge that looks at nothing but the side."""
    return "The first is better.\nVerdict: A"


@dataclass
class FakeInference(inference_pb2_grpc.InferenceServiceServicer, model_pb2_grpc.ModelServiceServicer):
    """`reply` makes a judge's reply from the question and the number of earlier replies to it."""

    reply: Reply = longest
    latency: float = 0.0
    # Raised instead of an answer, for as many calls as there are entries.
    errors: list[LimaError] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    # The whole requests for chats.
    chats: list[inference_pb2.ChatRequest] = field(default_factory=list)
    kind: model_pb2.Model.Kind = model_pb2.Model.KIND_REPLICA
    # Runs that began: each asks once which model its judge is.
    runs: int = 0
    # Set with the first question.
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    most_at_once: int = 0

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.Model:
        self.runs += 1
        return model_pb2.Model(name=f"{request.name}/versions/v1", state=model_pb2.Model.STATE_READY, kind=self.kind)

    async def Chat(self, request: inference_pb2.ChatRequest, context: Any) -> inference_pb2.ChatResponse:
        question = request.messages[0].content
        self.chats.append(request)
        async with self._at_work(question):
            text = self.reply(question, len(request.messages) // 2)
        return inference_pb2.ChatResponse(
            completions=[inference_pb2.Completion(text=text, finish_reason=sampling_pb2.FINISH_REASON_STOP)],
            usage=sampling_pb2.Usage(prompt_tokens=len(question) // 4, completion_tokens=len(text) // 4),
            model=request.model,
            cost_usd=0.01,
        )

    async def Score(self, request: inference_pb2.ScoreRequest, context: Any) -> inference_pb2.ScoreResponse:
        question = request.messages[0].content
        async with self._at_work(question):
            verdict = self.reply(question, 0).rpartition(" ")[2]
        tokens = {"neither": "C"}
        chosen = tokens.get(verdict, verdict)
        scores = [
            inference_pb2.TextScore(logprob=-0.1 if text == chosen else -3.0, token_count=1)
            for text in request.continuations
        ]
        return inference_pb2.ScoreResponse(scores=scores, model=request.model)

    @asynccontextmanager
    async def _at_work(self, question: str) -> AsyncIterator[None]:
        self.asked.append(question)
        self.busy.set()
        if self.errors:
            raise self.errors.pop(0)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.latency)
            yield
        finally:
            self.at_once -= 1


@asynccontextmanager
async def running_fake(fake: FakeInference, settings: Settings) -> AsyncIterator[str]:
    """The address of the fake for the length of the block."""
    services = [
        Service(inference_pb2.DESCRIPTOR.services_by_name["InferenceService"], _add_inference, fake),
        Service(model_pb2.DESCRIPTOR.services_by_name["ModelService"], _add_models, fake),
    ]
    async with running(settings, "fake-inference", services) as server:
        yield server.address


_add_inference = inference_pb2_grpc.add_InferenceServiceServicer_to_server
_add_models = model_pb2_grpc.add_ModelServiceServicer_to_server
