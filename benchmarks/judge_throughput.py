"""805 prompts in both orders through judging and inference to an endpoint that takes 200 ms for each reply.

    python -m benchmarks.judge_throughput [--prompts 805] [--concurrency 16] [--rounds 2] [--record]

The whole real path: the judging and inference services as processes with their databases and an S3 server, an
OpenAI-compatible endpoint that is fake. The ideal is calls x latency / concurrency. The peer is the official OpenAI
client with the same concurrency, straight to the endpoint, keeping nothing: no cache, no ledger, no resuming.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from pathlib import Path

from google.longrunning import operations_pb2, operations_pb2_grpc
from openai import AsyncOpenAI

from benchmarks.harness import Result, in_turn, main
from benchmarks.judging_stack import (
    bench_settings,
    program_environment,
    put_responses,
    running_program,
    running_service,
)
from lima.inference.v1 import model_pb2, model_pb2_grpc
from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from services.shared.settings import Settings
from tests.fixtures.seaweedfs import running_seaweedfs

LATENCY = 0.2
WORDS = 200


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompts", type=int, default=805)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)


async def finished(channel: object, operation: operations_pb2.Operation) -> None:
    stub = operations_pb2_grpc.OperationsStub(channel)
    while not operation.done:
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.seconds = 20
        operation = await stub.WaitOperation(request, timeout=60)
    if operation.HasField("error"):
        raise RuntimeError(operation.error.message)


async def register(address: str, token: str, base_url: str) -> None:
    async with connect(address, token) as channel:
        models = model_pb2_grpc.ModelServiceStub(channel)
        source = model_pb2.UpstreamSource(base_url=base_url, model="fake")
        operation = await models.RegisterModel(model_pb2.RegisterModelRequest(model_id="fake", upstream=source))
        await finished(channel, operation)


async def judged_seconds(address: str, token: str, systems: dict[str, str], concurrency: int) -> float:
    """Seconds of one study that was never asked before, as its seed is new."""
    spec = study_pb2.StudySpec(
        name=f"throughput-{secrets.token_hex(4)}",
        protocol=study_pb2.PROTOCOL_PAIRWISE,
        systems=[study_pb2.System(name=name, responses_uri=uri) for name, uri in systems.items()],
        judges=[study_pb2.JudgeSpec(name="fake", model="models/fake", concurrency=concurrency)],
        seed=secrets.randbelow(2**31),
    )
    async with connect(address, token) as channel:
        stub = judging_pb2_grpc.JudgingServiceStub(channel)
        study = await stub.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec), timeout=120)
        begin = time.perf_counter()
        await finished(channel, await stub.RunStudy(judging_pb2.RunStudyRequest(name=study.name)))
        seconds = time.perf_counter() - begin
        study = await stub.GetStudy(judging_pb2.GetStudyRequest(name=study.name))
    if study.verdict_count != 2 * study.item_count or study.ledger.cached_calls:
        raise AssertionError(f"{study.verdict_count} verdicts, {study.ledger.cached_calls} of them from the cache")
    return seconds


async def client_seconds(base_url: str, calls: int, concurrency: int) -> float:
    """Seconds of as many calls by the OpenAI client alone."""
    limit = asyncio.Semaphore(concurrency)
    question = "word " * (2 * WORDS)
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:

        async def ask(number: int) -> None:
            async with limit:
                await client.chat.completions.create(
                    model="fake", messages=[{"role": "user", "content": f"{number} {question}"}], temperature=0
                )

        begin = time.perf_counter()
        await asyncio.gather(*map(ask, range(calls)))
        return time.perf_counter() - begin


def run(arguments: argparse.Namespace) -> Result:
    calls = 2 * arguments.prompts
    ideal = calls * LATENCY / arguments.concurrency
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as place, running_seaweedfs() as s3:
        folder = Path(place)
        settings = bench_settings(folder, s3.endpoint, s3.access_key, s3.secret_key, object_store_bucket="benchmark")
        token = settings.token.get_secret_value() if settings.token else ""
        store = ObjectStore.from_settings(settings)
        systems = {name: put_responses(store, name, arguments.prompts, WORDS) for name in ("ours", "theirs")}
        port_file = folder / "port"
        fake = ["benchmarks.fake_openai", "--latency", str(LATENCY), "--port-file", str(port_file)]
        with (
            running_program(fake, port_file, program_environment(settings)) as port,
            running_service("inference", settings) as inference,
            running_service("judging", near(settings, inference)) as judging,
        ):
            base_url = f"http://127.0.0.1:{port}/v1"
            asyncio.run(register(inference, token, base_url))
            mine, theirs = in_turn(
                arguments.rounds,
                lambda: asyncio.run(judged_seconds(judging, token, systems, arguments.concurrency)),
                lambda: asyncio.run(client_seconds(base_url, calls, arguments.concurrency)),
            )
    return Result(
        metric=f"{calls} verdicts at {LATENCY * 1000:.0f} ms each, {arguments.concurrency} at once",
        value=round(mine, 2),
        unit="s",
        peer="openai client alone, keeping nothing",
        peer_value=round(theirs, 2),
        ratio=round(theirs / mine, 2),
        packages=("openai", "grpcio", "sqlalchemy"),
        details={
            "ideal_seconds": round(ideal, 2),
            "times_ideal": round(mine / ideal, 3),
            "peer_times_ideal": round(theirs / ideal, 3),
            "rounds": arguments.rounds,
        },
    )


def near(settings: Settings, inference: str) -> Settings:
    return settings.model_copy(update={"inference_address": inference})


if __name__ == "__main__":
    main("judge_throughput", run, options)
