"""InferenceService: protobuf to the domain and back, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from google.longrunning import operations_pb2

from lima.inference.v1 import inference_pb2
from services.inference import translate
from services.inference.backends.base import Prompt
from services.inference.generation import Generation
from services.inference.responses import ResponseSets, SetRequest
from services.inference.routing import Router
from services.inference.text_input import MAX_PROMPT_CHARACTERS, check_prompt
from services.shared.errors import InvalidInput
from services.shared.operations import OperationContext, Operations
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import current

GENERATE_RESPONSES = "generate_responses"
SET_PREFIX = "responseSets/"


class InferenceServicer:
    def __init__(self, generation: Generation, sets: ResponseSets, router: Router, operations: Operations) -> None:
        self._generation = generation
        self._sets = sets
        self._router = router
        self._operations = operations
        operations.register(GENERATE_RESPONSES, self._make_responses)

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Any) -> inference_pb2.GenerateResponse:
        prompt = Prompt(text=check_prompt(request.prompt), caller=current().name)
        sampling = translate.sampling_from(request.sampling)
        n = request.n if request.HasField("n") else 1
        answer = await self._generation.answer(request.model, prompt, sampling, n)
        return inference_pb2.GenerateResponse(**translate.answer_fields(answer))

    async def StreamGenerate(
        self, request: inference_pb2.StreamGenerateRequest, context: Any
    ) -> AsyncIterator[inference_pb2.StreamGenerateResponse]:
        prompt = Prompt(text=check_prompt(request.prompt), caller=current().name)
        sampling = translate.sampling_from(request.sampling)
        model, pieces = await self._generation.stream(request.model, prompt, sampling)
        async with aclosing(pieces) as stream:  # type: ignore[type-var]
            async for piece in stream:
                yield inference_pb2.StreamGenerateResponse(**translate.piece_fields(piece, model))

    async def Chat(self, request: inference_pb2.ChatRequest, context: Any) -> inference_pb2.ChatResponse:
        prompt = Prompt(
            turns=translate.turns_from(request.messages),
            schema_json=request.response_schema_json,
            caller=current().name,
        )
        sampling = translate.sampling_from(request.sampling)
        n = request.n if request.HasField("n") else 1
        answer = await self._generation.answer(request.model, prompt, sampling, n)
        return inference_pb2.ChatResponse(
            **translate.answer_fields(answer), cost_usd=answer.cost_usd, cached=answer.cached
        )

    async def StreamChat(
        self, request: inference_pb2.StreamChatRequest, context: Any
    ) -> AsyncIterator[inference_pb2.StreamChatResponse]:
        prompt = Prompt(turns=translate.turns_from(request.messages), caller=current().name)
        sampling = translate.sampling_from(request.sampling)
        model, pieces = await self._generation.stream(request.model, prompt, sampling)
        async with aclosing(pieces) as stream:  # type: ignore[type-var]
            async for piece in stream:
                yield inference_pb2.StreamChatResponse(**translate.piece_fields(piece, model))

    async def Score(self, request: inference_pb2.ScoreRequest, context: Any) -> inference_pb2.ScoreResponse:
        if bool(request.text) == bool(request.messages):
            shown = request.text[:100] if request.text else ""
            raise InvalidInput("text", shown, "must be given, or messages, and not both")
        turns = translate.turns_from(request.messages) if request.messages else ()
        text = check_prompt(request.text, "text") if request.text else ""
        total = sum(map(len, request.continuations))
        if total > MAX_PROMPT_CHARACTERS:
            raise InvalidInput("continuations", f"{total} characters", f"must be at most {MAX_PROMPT_CHARACTERS}")
        prompt = Prompt(text=text, turns=turns, caller=current().name)
        model, scores = await self._generation.score(request.model, prompt, list(request.continuations))
        return inference_pb2.ScoreResponse(scores=map(translate.score_to, scores), model=model)

    async def GenerateResponses(
        self, request: inference_pb2.GenerateResponsesRequest, context: Any
    ) -> operations_pb2.Operation:
        wanted = await self._set_request(request)
        target = f"{SET_PREFIX}{wanted.model.name}"
        return await self._operations.start(GENERATE_RESPONSES, request, target=target, request_id=request.request_id)

    async def GetResponseSet(
        self, request: inference_pb2.GetResponseSetRequest, context: Any
    ) -> inference_pb2.ResponseSet:
        if not request.name.startswith(SET_PREFIX):
            raise InvalidInput("name", request.name, "must be responseSets/<digest>")
        return translate.response_set_to(await self._sets.get(request.name.removeprefix(SET_PREFIX)))

    async def ListResponseSets(
        self, request: inference_pb2.ListResponseSetsRequest, context: Any
    ) -> inference_pb2.ListResponseSetsResponse:
        size = page_size(request.page_size, default=20, maximum=100)
        after = decode_page_token(request.page_token) or ""
        digests = [digest for digest in await self._sets.digests() if digest > after]
        manifests = await asyncio.gather(*map(self._sets.get, digests[:size]))
        token = encode_page_token(digests[size - 1]) if len(digests) > size else ""
        return inference_pb2.ListResponseSetsResponse(
            response_sets=map(translate.response_set_to, manifests), next_page_token=token
        )

    async def _set_request(self, request: inference_pb2.GenerateResponsesRequest) -> SetRequest:
        model = await self._router.model(request.model)
        return SetRequest(
            model=model,
            prompts_uri=request.prompts_uri,
            sampling=translate.sampling_from(request.sampling),
            n=request.n if request.HasField("n") else 1,
            limit=request.limit,
            caller=current().name,
        )

    async def _make_responses(
        self, context: OperationContext, request: inference_pb2.GenerateResponsesRequest
    ) -> inference_pb2.ResponseSet:
        wanted = await self._set_request(request)
        backend = await self._router.backend_when_ready(wanted.model)

        async def report(done: int, total: int, counts: dict[str, int]) -> None:
            await context.report(stage="generating", done=done, total=total, unit="responses", counts=counts)

        return translate.response_set_to(await self._sets.make(wanted, backend, report))
