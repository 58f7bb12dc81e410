"""The real replica program on a real local Ray: loading, replacing under load, and every kind of death."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from lima.inference.v1 import inference_pb2, model_pb2
from services.inference.settings import InferenceSettings
from services.shared.errors import FailedPrecondition, Unavailable
from services.shared.rpc.status import to_error
from tests.conftest import TOKEN
from tests.fixtures.ports import free_port
from tests.fixtures.seaweedfs import S3Server
from tests.service.inference.conftest import Stack, running_front

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

START_SECONDS = 240
RAY_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
}


class ReplicaProgram:
    """`python -m services.inference.replica` with a Ray of its own."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.port = int(environment["LIMA_REPLICA_PORT"])
        self._environment = os.environ | RAY_QUIET | environment
        self._ready = Path(environment["LIMA_READY_FILE"])
        self._log = folder / "replica.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.inference.replica"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the replica side did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.2)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def replica_program(environment: dict[str, str], folder: Path) -> Iterator[ReplicaProgram]:
    program = ReplicaProgram(environment, folder)
    try:
        program.start()
        yield program
    finally:
        program.stop()


@pytest.fixture(scope="module")
def environment(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("ray")
    return {
        "LIMA_STATE_DIR": str(folder / "state"),
        "LIMA_OBJECT_STORE_ENDPOINT": s3_server.endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": s3_server.access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": s3_server.secret_key,
        "LIMA_OBJECT_STORE_BUCKET": f"ray-{os.getpid()}",
        "LIMA_TOKEN": TOKEN,
        "LIMA_REPLICA_PORT": str(free_port()),
        "LIMA_REPLICA_CPUS": "0.5",
        "LIMA_REPLICA_SLOTS": "8",
        "LIMA_REPLICA_CONTEXT": "512",
        "LIMA_REPLICA_TARGET_REQUESTS": "4",
        "LIMA_REPLICA_UPSCALE_SECONDS": "1",
        "LIMA_READY_FILE": str(folder / "ready.json"),
    }


@pytest.fixture(scope="module")
def program(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProgram]:
    with replica_program(environment, tmp_path_factory.mktemp("log")) as program:
        yield program


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    program: ReplicaProgram, environment: dict[str, str], s3_server: S3Server, tiny_folder: Path
) -> AsyncIterator[Stack]:
    settings = InferenceSettings(
        state_dir=Path(environment["LIMA_STATE_DIR"]),
        object_store_endpoint=s3_server.endpoint,
        object_store_access_key=s3_server.access_key,
        object_store_secret_key=s3_server.secret_key,
        object_store_bucket=environment["LIMA_OBJECT_STORE_BUCKET"],
        token=TOKEN,
        replica_url=f"http://127.0.0.1:{program.port}",
        model_root=tiny_folder.parent,
        reconcile_seconds=0.5,
        shutdown_notice_seconds=0,
    )
    async with running_front(settings, replica=None) as stack:  # type: ignore[arg-type]
        await stack.register("tiny", folder_uri="tiny")
        await stack.load("tiny")
        yield stack


def chat(tokens: int = 8) -> inference_pb2.ChatRequest:
    request = inference_pb2.ChatRequest(model="tiny", messages=[{"role": "user", "content": "tea cup"}])
    request.sampling.max_tokens = tokens
    request.sampling.seed = 1
    request.sampling.temperature = 2
    request.sampling.top_p = 1
    return request


async def facts(stack: Stack) -> dict[str, Any]:
    model = await stack.models.GetModel(model_pb2.GetModelRequest(name="tiny"))
    version = model.name.rpartition("/")[2]
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        reply = await client.get(f"{stack.settings.replica_url}/models/tiny/{version}/facts")
    found: dict[str, Any] = json.loads(reply.content)
    return found


async def answer_again(stack: Stack) -> str:
    """The answer, as soon as the model answers again."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                reply = await stack.generation.Chat(chat(), timeout=60)
                return str(reply.completions[0].text)
            except grpc.RpcError as failure:
                if not isinstance(to_error(failure), Unavailable | FailedPrecondition):
                    raise
                await asyncio.sleep(0.5)


async def test_a_loaded_model_answers_and_the_same_declaration_restarts_nothing(served: Stack) -> None:
    before = await facts(served)
    assert before["engine"] == "openvino"
    assert before["verification"].startswith("stops at its end-of-turn token")
    first = await served.generation.Chat(chat())
    loaded = await served.load("tiny")
    assert loaded.ready_replicas == 1
    assert (await facts(served))["pid"] == before["pid"]
    assert (await served.generation.Chat(chat())).completions == first.completions


async def test_the_replica_side_asks_for_the_token(served: Stack) -> None:
    async with httpx.AsyncClient(base_url=served.settings.replica_url, timeout=30) as client:
        assert (await client.get("/admin/deployments")).status_code == 401


async def test_replacing_replicas_under_load_fails_no_request(served: Stack) -> None:
    """Another engine for the same version is another deployment of it, which Serve rolls out."""
    before = await facts(served)
    stop = asyncio.Event()
    texts: list[str] = []

    async def ask() -> None:
        while not stop.is_set():
            reply = await served.generation.Chat(chat(4), timeout=120)
            texts.append(reply.completions[0].text)

    workers = [asyncio.create_task(ask()) for _ in range(4)]
    await served.load("tiny", engine="transformers")
    async with asyncio.timeout(START_SECONDS):
        while (await facts(served))["engine"] != "transformers":  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*workers)
    assert len(texts) > 4
    assert (await facts(served))["pid"] != before["pid"]


async def test_a_killed_replica_is_told_and_replaced(served: Stack) -> None:
    expected = await answer_again(served)
    victim = (await facts(served))["pid"]
    request = inference_pb2.StreamChatRequest(model="tiny", messages=[{"role": "user", "content": "tea cup"}])
    request.sampling.CopyFrom(chat(450).sampling)
    call = served.generation.StreamChat(request)
    produced = (await call.read()).text
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as refused:
        produced += "".join([piece.text async for piece in call])
    assert isinstance(to_error(refused.value), Unavailable)
    assert produced
    assert await answer_again(served) == expected
    assert (await facts(served))["pid"] != victim


async def test_a_killed_replica_side_comes_back_with_its_models(served: Stack, program: ReplicaProgram) -> None:
    expected = await answer_again(served)
    program.stop(signal.SIGKILL)
    await asyncio.to_thread(program.start)
    assert await answer_again(served) == expected


async def test_a_longer_queue_brings_a_second_replica_and_both_answer(served: Stack) -> None:
    alone = await served.load("tiny", min_replicas=1, max_replicas=2)
    assert alone.ready_replicas == 1
    stop = asyncio.Event()

    async def ask(seed: int) -> None:
        request = chat(100)
        while not stop.is_set():
            request.sampling.seed = seed
            await served.generation.Chat(request, timeout=120)

    # Three times what one replica is to have in flight.
    askers = [asyncio.create_task(ask(seed)) for seed in range(12)]
    async with asyncio.timeout(START_SECONDS):
        name = model_pb2.GetModelRequest(name="tiny")
        while (await served.models.GetModel(name)).ready_replicas < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        answering: set[int] = set()
        while len(answering) < 2:
            answering.add((await facts(served))["pid"])
    stop.set()
    await asyncio.gather(*askers)
