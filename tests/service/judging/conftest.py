"""A judging server in this process, with a fake inference service before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc

from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.judging.__main__ import running_judging
from services.shared.objects import ObjectStore
from services.shared.records import Response, Turn
from services.shared.rpc.client import connect
from services.shared.rpc.status import from_status
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.service.judging.fake_inference import FakeInference, running_fake

# A busy machine may be slow; no test depends on how fast it is.
PATIENCE_SECONDS = 240


@dataclass
class Judging:
    """Stubs of a running server, and what stands around it."""

    judging: judging_pb2_grpc.JudgingServiceStub
    annotation: judging_pb2_grpc.AnnotationServiceStub
    operations: operations_pb2_grpc.OperationsStub
    fake: FakeInference
    store: ObjectStore
    address: str
    settings: Settings

    async def run(self, study: str) -> judging_pb2.Results:
        operation = await self.judging.RunStudy(judging_pb2.RunStudyRequest(name=study))
        results = judging_pb2.Results()
        (await self.finished(operation)).response.Unpack(results)
        return results

    async def finished(self, operation: operations_pb2.Operation) -> operations_pb2.Operation:
        """The operation when it is done; raises the error that ended it."""
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.seconds = 20
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not operation.done:
                operation = await self.operations.WaitOperation(request, timeout=PATIENCE_SECONDS)
        if operation.HasField("error"):
            raise from_status(operation.error)
        return operation

    def put_responses(self, name: str, texts: dict[str, str], source: str = "authored") -> str:
        """A response set in the store; the key of each text is its prompt id."""
        return put_responses(
            self.store, name, [response(prompt, text, source=source) for prompt, text in texts.items()]
        )


def response(prompt_id: str, text: str, *, sample: int = 0, source: str = "authored", model: str = "m") -> Response:
    return Response(
        prompt_id=prompt_id,
        sample=sample,
        source=source,
        messages=(Turn(role="user", content=f"Tell me about {prompt_id}."),),
        response=text,
        model=model,
        finish_reason="stop",
        prompt_tokens=5,
        completion_tokens=len(text) // 4,
    )


def put_responses(store: ObjectStore, name: str, responses: Iterable[Response]) -> str:
    key = f"responses/{name}.jsonl"
    store.put_bytes(key, "".join(each.model_dump_json() + "\n" for each in responses).encode())
    return store.uri(key)


def spec(name: str, systems: dict[str, str], **fields: object) -> study_pb2.StudySpec:
    """A pairwise study with one judge named "judge"."""
    fields = {"protocol": study_pb2.PROTOCOL_PAIRWISE, "judges": [{"name": "judge", "model": "models/fake"}], **fields}
    listed = [study_pb2.System(name=system, responses_uri=uri) for system, uri in systems.items()]
    return study_pb2.StudySpec(name=name, systems=listed, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def judging(settings: Settings, object_store: ObjectStore) -> AsyncIterator[Judging]:
    fake = FakeInference()
    async with running_fake(fake, settings) as address:
        own = settings.model_copy(update={"inference_address": address})
        async with running_judging(own) as server, connect(server.address, TOKEN) as channel:
            yield Judging(
                judging_pb2_grpc.JudgingServiceStub(channel),
                judging_pb2_grpc.AnnotationServiceStub(channel),
                operations_pb2_grpc.OperationsStub(channel),
                fake,
                object_store,
                server.address,
                own,
            )
