"""The whole front on port 0, before a replica side that runs the real engine on a tiny random model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message

from lima.inference.v1 import inference_pb2_grpc, model_pb2, model_pb2_grpc
from services.inference.openai_front import serving
from services.inference.replica.settings import ReplicaSettings
from services.inference.service import NAME, Inference, assembled
from services.inference.settings import InferenceSettings
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from services.shared.rpc.server import running
from services.shared.rpc.status import from_status
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.bare_replica import BareReplica, bare_replica
from tests.fixtures.tiny_served_model import write_served_model


@dataclass
class Stack:
    """Clients of a running front, and its parts."""

    settings: InferenceSettings
    replica: BareReplica
    inference: Inference
    channel: grpc.aio.Channel
    address: str
    openai_port: int
    store: ObjectStore

    @property
    def generation(self) -> Any:
        return inference_pb2_grpc.InferenceServiceStub(self.channel)

    @property
    def models(self) -> Any:
        return model_pb2_grpc.ModelServiceStub(self.channel)

    async def finish(self, operation: operations_pb2.Operation, result: Message) -> Any:
        """The result of an operation. Raises the LimaError that it ended with."""
        stub = operations_pb2_grpc.OperationsStub(self.channel)
        while not operation.done:
            request = operations_pb2.WaitOperationRequest(name=operation.name)
            request.timeout.FromSeconds(10)
            operation = await stub.WaitOperation(request)
        if operation.HasField("error"):
            raise from_status(operation.error)
        operation.response.Unpack(result)
        return result

    async def register(self, name: str, **source: Any) -> model_pb2.Model:
        request = model_pb2.RegisterModelRequest(model_id=name, **source)
        return await self.finish(await self.models.RegisterModel(request), model_pb2.Model())

    async def load(self, name: str, **how: Any) -> model_pb2.Model:
        request = model_pb2.LoadModelRequest(name=name, **how)
        return await self.finish(await self.models.LoadModel(request), model_pb2.Model())

    def put_prompts(self, count: int) -> str:
        rows = [
            {"id": f"p{i}", "source": "s", "split": "test", "messages": [{"role": "user", "content": f"tea {i}"}]}
            for i in range(count)
        ]
        self.store.put_bytes("datasets/d/1/test.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        return self.store.uri("datasets/d/1/test.jsonl")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below a root of its own, from which the front may register folders."""
    return write_served_model(tmp_path_factory.mktemp("models") / "tiny")


@asynccontextmanager
async def running_front(settings: InferenceSettings, replica: BareReplica) -> AsyncIterator[Stack]:
    async with (
        assembled(settings) as inference,
        serving(settings, inference.generation, inference.registry) as openai_port,
        running(settings, NAME, inference.services, operations=inference.operations) as server,
        connect(server.address, TOKEN) as channel,
    ):
        store = ObjectStore.from_settings(settings)
        yield Stack(settings, replica, inference, channel, server.address, openai_port or 0, store)


def front_settings(settings: Settings, replica: BareReplica, root: Path, **changes: Any) -> InferenceSettings:
    values = settings.model_dump() | {
        "replica_url": f"http://127.0.0.1:{replica.port}",
        "model_root": root,
        "reconcile_seconds": 0.2,
        "metrics_port": 0,
    }
    return InferenceSettings(**(values | changes))


@pytest.fixture
async def replica(settings: Settings) -> AsyncIterator[BareReplica]:
    async with bare_replica(ReplicaSettings(**settings.model_dump() | {"replica_port": 0})) as replica:
        yield replica


@pytest.fixture
async def stack(settings: Settings, replica: BareReplica, tiny_folder: Path) -> AsyncIterator[Stack]:
    async with running_front(front_settings(settings, replica, tiny_folder.parent), replica) as stack:
        yield stack


@pytest.fixture
async def ready(stack: Stack) -> Stack:
    """With the model "tiny" registered and loaded."""
    await stack.register("tiny", folder_uri="tiny")
    await stack.load("tiny")
    return stack


Change = Callable[[Path], object]
