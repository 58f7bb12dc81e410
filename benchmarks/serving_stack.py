"""A model served the whole way (S3, Ray Serve, front) for the inference benchmarks, and stopped afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import version
from benchmarks.serving_peers import THREADS, converted
from services.shared.rpc.client import connect

TOKEN = "benchmark-token-of-an-operator"
START_SECONDS = 300
# Prompts of mixed lengths, in the words of nobody.
SENTENCE = "Explain how the kettle, the cup and the water come together when tea is made. "
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": THREADS,
    "LIMA_LOG_LEVEL": "warning",
}


@dataclass
class ServingStack:
    """A running front, the replica side behind it, and `folder`, the model that both serve."""

    channel: Any
    replica_url: str
    folder: Path

    async def load(self, engine: str) -> str:
        """Serves the model with that engine under the engine's name, and gives its route at the replica side."""
        from lima.inference.v1 import model_pb2, model_pb2_grpc

        models = model_pb2_grpc.ModelServiceStub(self.channel)
        register = model_pb2.RegisterModelRequest(model_id=engine, version="v1", folder_uri=self.folder.name)
        await _finished(self.channel, await models.RegisterModel(register))
        load = model_pb2.LoadModelRequest(name=engine, engine=engine)
        await _finished(self.channel, await models.LoadModel(load))
        return f"/models/{engine}/v1"


def prompts(count: int, series: int = 0) -> list[str]:
    """Lengths from about 20 to about 170 tokens; no two, of any series, begin alike, so none is remembered."""
    return [f"{series} and {index} make a question. " + SENTENCE * (1 + index % 9) for index in range(count)]


@asynccontextmanager
async def serving_stack(vllm_python: Path | None = None) -> AsyncIterator[ServingStack]:
    """The front and the replica side, each a program of its own as `lima up` starts them."""
    from tests.fixtures.ports import free_ports
    from tests.fixtures.seaweedfs import running_seaweedfs

    folder = await asyncio.to_thread(converted)
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as scratch, running_seaweedfs() as store:
        replica_port, port = free_ports(2)
        url = f"http://127.0.0.1:{replica_port}"
        environment = QUIET | {
            "LIMA_STATE_DIR": scratch,
            "LIMA_OBJECT_STORE_ENDPOINT": store.endpoint,
            "LIMA_OBJECT_STORE_ACCESS_KEY": store.access_key,
            "LIMA_OBJECT_STORE_SECRET_KEY": store.secret_key,
            "LIMA_TOKEN": TOKEN,
            "LIMA_REPLICA_PORT": str(replica_port),
            "LIMA_REPLICA_URL": url,
            "LIMA_PORT": str(port),
            "LIMA_MODEL_ROOT": str(folder.parent),
            # What is measured must not be refused.
            "LIMA_ADMITTED_TOKENS": "10000000",
            "LIMA_ADMITTED_TOKENS_PER_CALLER": "10000000",
        }
        if vllm_python is not None:
            environment["LIMA_REPLICA_VLLM_PYTHON"] = str(vllm_python)
        with (
            _program("services.inference.replica", environment, Path(scratch)),
            _program("services.inference", environment, Path(scratch)),
        ):
            async with connect(f"127.0.0.1:{port}", TOKEN) as channel:
                yield ServingStack(channel, url, folder)


@contextmanager
def _program(module: str, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """One of our programs, ready, for the length of the block."""
    ready, log = folder / f"{module}.json", folder / f"{module}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=os.environ | environment | {"LIMA_READY_FILE": str(ready)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not (ready.exists() and json.loads(ready.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{module} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _finished(channel: Any, operation: Any) -> None:
    from google.longrunning import operations_pb2, operations_pb2_grpc

    stub = operations_pb2_grpc.OperationsStub(channel)
    while not operation.done:
        await asyncio.sleep(0.5)
        operation = await stub.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
    if operation.HasField("error"):
        raise RuntimeError(operation.error.message)


def versions() -> tuple[str, ...]:
    """Distributions that explain a serving result."""
    return tuple(
        name for name in ("torch", "openvino", "transformers", "ray", "grpcio", "vllm") if version(name) != "missing"
    )
