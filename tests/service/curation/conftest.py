"""A curation server on a free port, and clients of its three services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.longrunning.operations_pb2 import Operation, WaitOperationRequest
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.protobuf.message import Message

from lima.curation.v1.authoring_pb2_grpc import AuthoringServiceStub
from lima.curation.v1.curation_pb2 import Corpus, ImportCorpusRequest
from lima.curation.v1.curation_pb2_grpc import CurationServiceStub
from lima.curation.v1.review_pb2_grpc import ReviewServiceStub
from services.curation.__main__ import running_curation
from services.curation.settings import CurationSettings
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from services.shared.rpc.status import from_status
from services.shared.settings import Settings
from tests.conftest import TOKEN

SAMPLES = Path(__file__).parents[3] / "experiments" / "sample_corpora"


@dataclass
class Client:
    channel: grpc.aio.Channel
    store: ObjectStore
    address: str

    def __post_init__(self) -> None:
        self.curation: Any = CurationServiceStub(self.channel)
        self.review: Any = ReviewServiceStub(self.channel)
        self.authoring: Any = AuthoringServiceStub(self.channel)
        self.operations: Any = OperationsStub(self.channel)

    async def finish(self, operation: Operation, result: Message) -> Any:
        """The response of an operation. Raises the error that ended it."""
        while not operation.done:
            request = WaitOperationRequest(name=operation.name)
            request.timeout.FromSeconds(20)
            operation = await self.operations.WaitOperation(request, timeout=30)
        if operation.HasField("error"):
            raise from_status(operation.error)
        operation.response.Unpack(result)
        return result

    async def import_folder(self, name: str, folder: Path) -> Corpus:
        await asyncio.to_thread(self.store.put_folder, f"uploads/{name}", folder, {})
        request = ImportCorpusRequest(corpus_id=name, source_uri=self.store.uri(f"uploads/{name}"))
        return await self.finish(await self.curation.ImportCorpus(request), Corpus())


@pytest.fixture
def curation_settings(settings: Settings) -> CurationSettings:
    return CurationSettings(**settings.model_dump(), curation_workers=1)


@pytest.fixture
async def client(curation_settings: CurationSettings, object_store: ObjectStore) -> AsyncIterator[Client]:
    async with running_curation(curation_settings) as server, connect(server.address, TOKEN) as channel:
        yield Client(channel, object_store, server.address)
