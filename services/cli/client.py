"""The typed Python client: stubs of every service, the store, and long work followed to its end.

    async with connect() as services:
        dataset = await services.curation.GetDataset(GetDatasetRequest(name="datasets/quickstart/latest"))

Addresses and token come from the environment (LIMA_*) or, where that says nothing, from the local stack.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from services.cli.stack.stack import Stack
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect as connect_channel
from services.shared.rpc.status import from_status
from services.shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import grpc.aio
    from google.longrunning.operations_pb2 import Operation
    from google.protobuf.message import Message

    from services.cli.output import Progress

M = TypeVar("M", bound="Message")
T = TypeVar("T")

POLL_SECONDS = 0.25
AREAS = ("curation", "inference", "judging")


def state_dir() -> Path:
    """The folder of the local stack: LIMA_STATE_DIR, or .lima below the current folder."""
    return Path(os.environ.get("LIMA_STATE_DIR", ".lima"))


def client_settings() -> Settings:
    """Where the services are. An address in the environment means that they are elsewhere than here."""
    remote = any(f"LIMA_{area.upper()}_ADDRESS" in os.environ for area in AREAS)
    return Settings() if remote else Stack(state_dir()).settings()


@dataclass
class Services:
    """Stubs of all services; a channel opens with its first use."""

    settings: Settings
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    @cached_property
    def store(self) -> ObjectStore:
        return ObjectStore.from_settings(self.settings)

    def channel(self, area: str) -> grpc.aio.Channel:
        if area not in AREAS:
            raise InvalidInput("service", area, f"must be one of {', '.join(AREAS)}")
        if area not in self.channels:
            address = getattr(self.settings, f"{area}_address")
            token = self.settings.token.get_secret_value() if self.settings.token else None
            self.channels[area] = connect_channel(address, token, settings=self.settings)
        return self.channels[area]

    @cached_property
    def curation(self) -> Any:
        from lima.curation.v1.curation_pb2_grpc import CurationServiceStub

        return CurationServiceStub(self.channel("curation"))

    @cached_property
    def review(self) -> Any:
        from lima.curation.v1.review_pb2_grpc import ReviewServiceStub

        return ReviewServiceStub(self.channel("curation"))

    @cached_property
    def authoring(self) -> Any:
        from lima.curation.v1.authoring_pb2_grpc import AuthoringServiceStub

        return AuthoringServiceStub(self.channel("curation"))

    @cached_property
    def inference(self) -> Any:
        from lima.inference.v1.inference_pb2_grpc import InferenceServiceStub

        return InferenceServiceStub(self.channel("inference"))

    @cached_property
    def models(self) -> Any:
        from lima.inference.v1.model_pb2_grpc import ModelServiceStub

        return ModelServiceStub(self.channel("inference"))

    @cached_property
    def judging(self) -> Any:
        from lima.judging.v1.judging_pb2_grpc import JudgingServiceStub

        return JudgingServiceStub(self.channel("judging"))

    @cached_property
    def annotation(self) -> Any:
        from lima.judging.v1.judging_pb2_grpc import AnnotationServiceStub

        return AnnotationServiceStub(self.channel("judging"))

    def operations(self, area: str) -> Any:
        from google.longrunning.operations_pb2_grpc import OperationsStub

        return OperationsStub(self.channel(area))

    async def follow(self, area: str, operation: Operation, result: M, progress: Progress) -> M:
        """Wait for an operation, showing its progress; fill `result` with its response.

        Raises the LimaError that ended it.
        """
        from google.longrunning.operations_pb2 import GetOperationRequest

        from lima.common.v1.progress_pb2 import OperationProgress

        stub = self.operations(area)
        while not operation.done:
            await asyncio.sleep(POLL_SECONDS)
            operation = await stub.GetOperation(GetOperationRequest(name=operation.name))
            state = OperationProgress()
            if operation.metadata.Unpack(state):
                progress.update(state.stage, state.done, state.total, state.unit)
        if operation.HasField("error"):
            raise from_status(operation.error)
        operation.response.Unpack(result)
        return result

    async def load_model(self, name: str, progress: Progress, engine: str = "") -> None:
        """Have the model served; a model that is ready already costs one call."""
        from lima.inference.v1.model_pb2 import GetModelRequest, LoadModelRequest, Model

        model = await self.models.GetModel(GetModelRequest(name=name))
        if model.state == Model.STATE_READY or model.kind != Model.KIND_REPLICA:
            return
        operation = await self.models.LoadModel(LoadModelRequest(name=name, engine=engine))
        await self.follow("inference", operation, Model(), progress)

    async def close(self) -> None:
        for channel in self.channels.values():
            await channel.close()


@asynccontextmanager
async def connect(settings: Settings | None = None) -> AsyncIterator[Services]:
    """Open clients of all services, and close them at the end."""
    services = Services(settings or client_settings())
    try:
        yield services
    finally:
        await services.close()


def call(work: Callable[[Services], Awaitable[T]]) -> T:
    """Run `work` with clients of the services, for commands that are not coroutines themselves."""

    async def connected() -> T:
        async with connect() as services:
            return await work(services)

    return asyncio.run(connected())
