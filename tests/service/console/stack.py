"""The real services and a console before them, in one thread with a loop of its own.

Only the outside model is a fake, and says so: see fake_openai.py.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message

from lima.curation.v1 import authoring_pb2_grpc, curation_pb2_grpc, review_pb2_grpc
from lima.inference.v1 import inference_pb2_grpc, model_pb2_grpc
from lima.judging.v1 import judging_pb2_grpc
from services.console.config import ConsoleSettings
from services.console.wiring import console
from services.curation.__main__ import running_curation
from services.curation.settings import CurationSettings
from services.inference.service import NAME as INFERENCE
from services.inference.service import assembled as assembled_inference
from services.inference.settings import InferenceSettings
from services.judging.__main__ import running_judging
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect_blocking
from services.shared.rpc.server import running
from services.shared.rpc.status import from_status
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.service.console.fake_openai import fake_openai

START_SECONDS = 60


@dataclass
class Stack:
    """Where everything is, with blocking stubs to fill it."""

    url: str
    settings: ConsoleSettings
    store: ObjectStore
    outside: FastAPI
    outside_url: str
    # Stops answering, and answers again at the same address.
    interrupt: Any
    resume: Any
    stubs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        addresses = self.settings
        curation = connect_blocking(addresses.curation_address, TOKEN)
        inference = connect_blocking(addresses.inference_address, TOKEN)
        judging = connect_blocking(addresses.judging_address, TOKEN)
        self.curation: Any = curation_pb2_grpc.CurationServiceStub(curation)
        self.review: Any = review_pb2_grpc.ReviewServiceStub(curation)
        self.authoring: Any = authoring_pb2_grpc.AuthoringServiceStub(curation)
        self.models: Any = model_pb2_grpc.ModelServiceStub(inference)
        self.inference: Any = inference_pb2_grpc.InferenceServiceStub(inference)
        self.judging: Any = judging_pb2_grpc.JudgingServiceStub(judging)
        self.annotation: Any = judging_pb2_grpc.AnnotationServiceStub(judging)
        self.curation_operations: Any = operations_pb2_grpc.OperationsStub(curation)
        self.inference_operations: Any = operations_pb2_grpc.OperationsStub(inference)
        self.judging_operations: Any = operations_pb2_grpc.OperationsStub(judging)


def finish(operations: Any, operation: operations_pb2.Operation, result: Message) -> Any:
    """The response of an operation when it has ended. Raises the error that ended it."""
    while not operation.done:
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(20)
        operation = operations.WaitOperation(request, timeout=30)
    if operation.HasField("error"):
        raise from_status(operation.error)
    operation.response.Unpack(result)
    return result


class WebServer:
    """uvicorn at one port of loopback, in the running loop; can be stopped and started again there."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        config = uvicorn.Config(
            self._app,
            host="127.0.0.1",
            port=self.port,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        # Signals belong to the main thread.
        self._serving = asyncio.create_task(self._server._serve())
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the web server ended while it started")
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        assert self._server is not None
        assert self._serving is not None
        self._server.should_exit = True
        await self._serving


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[WebServer]:
    server = WebServer(app)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Addresses of the three services, as settings name them."""
    values = settings.model_dump()
    async with (
        running_curation(CurationSettings(**values, curation_workers=1)) as curation,
        assembled_inference(InferenceSettings(**values)) as inference,
        running(settings, INFERENCE, inference.services, operations=inference.operations) as front,
        running_judging(Settings(**{**values, "inference_address": front.address})) as judging,
    ):
        yield {
            "curation_address": curation.address,
            "inference_address": front.address,
            "judging_address": judging.address,
        }


async def _run(settings: Settings, ready: asyncio.Future[Stack], ended: asyncio.Event) -> None:
    outside = fake_openai()
    async with serving(outside) as outside_server, running_services(settings) as addresses:
        console_settings = ConsoleSettings(**{**settings.model_dump(), **addresses, "port": 0})
        async with serving(console(console_settings)) as web:
            loop = asyncio.get_running_loop()

            def soon(action: Any) -> Any:
                return lambda: asyncio.run_coroutine_threadsafe(action(), loop).result(START_SECONDS)

            store = ObjectStore.from_settings(settings)
            ready.set_result(
                Stack(web.url, console_settings, store, outside, outside_server.url, soon(web.stop), soon(web.start))
            )
            await ended.wait()


@contextmanager
def running_stack(settings: Settings) -> Iterator[Stack]:
    """Everything up, for the length of the block."""
    loop = asyncio.new_event_loop()
    ready: asyncio.Future[Stack] = loop.create_future()
    ended = asyncio.Event()
    started = threading.Event()
    failure: list[BaseException] = []

    async def main() -> None:
        ready.add_done_callback(lambda _: started.set())
        await _run(settings, ready, ended)

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="console stack", daemon=True)
    thread.start()
    if not started.wait(START_SECONDS) or failure:
        raise failure[0] if failure else TimeoutError("the services did not start")
    try:
        yield ready.result()
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(START_SECONDS)
        if failure:
            raise failure[0]
