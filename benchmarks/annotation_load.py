"""Two hundred people annotate at once: how long each waits for the next item, on SQLite and on PostgreSQL.

    python -m benchmarks.annotation_load [--annotators 200] [--seconds 20] [--think 4] [--record]

The judging service is a process of its own; the people are gRPC clients in another. The model is a closed loop of
open sessions: each person asks for an item, reads it for half to one and a half times `think` seconds, submits, and
asks for the next at once. With 200 people and 4 s this is 50 items asked for and 50 submitted in each second; people
who read two answers take ten times as long, so it is the load of a crowd ten times as large. They begin spread over
the first `think` seconds. PostgreSQL runs on the same machine without fsync; SQLite writes a log that is
synced at checkpoints. `value` is the worse of the two databases' 99th percentiles of the time to the next item. There
is no peer that could run here; the target stands in its place.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from benchmarks.harness import Result, main
from benchmarks.judging_stack import bench_settings, put_responses, running_service
from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from tests.fixtures.postgresql import PostgresqlMissing, running_postgresql
from tests.fixtures.seaweedfs import running_seaweedfs

TARGET_MILLISECONDS = 50.0
PROMPTS, OVERLAP, CHANNELS = 2000, 5, 8


@dataclass
class Waits:
    """Seconds of every call."""

    assign: list[float] = field(default_factory=list)
    submit: list[float] = field(default_factory=list)

    def milliseconds(self, calls: list[float], percent: float) -> float:
        return round(1000 * float(np.percentile(calls, percent)), 1)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--think", type=float, default=4)


async def annotate(
    stub: judging_pb2_grpc.AnnotationServiceStub, who: str, end: float, think: float, waits: Waits
) -> None:
    generator = random.Random(who)
    await asyncio.sleep(generator.uniform(0, think))
    while time.monotonic() < end:
        begin = time.perf_counter()
        item = await stub.AssignItem(judging_pb2.AssignItemRequest(parent="studies/load", annotator=who))
        waits.assign.append(time.perf_counter() - begin)
        await asyncio.sleep(generator.uniform(think / 2, 1.5 * think))
        request = judging_pb2.SubmitVerdictRequest(
            name=item.name, lease=item.lease, annotator=who, choice=generator.choice(item.choices), seconds=think
        )
        begin = time.perf_counter()
        await stub.SubmitVerdict(request)
        waits.submit.append(time.perf_counter() - begin)


async def load(address: str, token: str, systems: dict[str, str], arguments: argparse.Namespace) -> Waits:
    channels = [connect(address, token) for _ in range(CHANNELS)]
    spec = study_pb2.StudySpec(
        name="load",
        protocol=study_pb2.PROTOCOL_PAIRWISE,
        systems=[study_pb2.System(name=name, responses_uri=uri) for name, uri in systems.items()],
        human=study_pb2.HumanSpec(overlap=OVERLAP),
    )
    await judging_pb2_grpc.JudgingServiceStub(channels[0]).CreateStudy(
        judging_pb2.CreateStudyRequest(spec=spec), timeout=120
    )
    waits = Waits()
    end = time.monotonic() + arguments.seconds
    stubs = [judging_pb2_grpc.AnnotationServiceStub(channel) for channel in channels]
    people = [
        annotate(stubs[number % CHANNELS], f"annotator-{number}", end, arguments.think, waits)
        for number in range(arguments.annotators)
    ]
    try:
        await asyncio.gather(*people)
    except grpc.RpcError as error:
        raise RuntimeError(f"an annotator met {error.code()}: {error.details()}") from None
    for channel in channels:
        await channel.close()
    return waits


def run(arguments: argparse.Namespace) -> Result:
    measured: dict[str, Waits] = {}
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as place, ExitStack() as stack:
        s3 = stack.enter_context(running_seaweedfs())
        urls = {"sqlite": ""}
        try:
            urls["postgresql"] = stack.enter_context(running_postgresql())
        except PostgresqlMissing as missing:
            print(f"no PostgreSQL: {missing}")
        for kind, url in urls.items():
            folder = Path(place) / kind
            keys = {"object_store_bucket": f"benchmark-{kind}", "database_url": url}
            settings = bench_settings(folder, s3.endpoint, s3.access_key, s3.secret_key, **keys)
            store = ObjectStore.from_settings(settings)
            systems = {name: put_responses(store, name, PROMPTS, 200) for name in ("ours", "theirs")}
            token = settings.token.get_secret_value() if settings.token else ""
            with running_service("judging", settings) as address:
                measured[kind] = asyncio.run(load(address, token, systems, arguments))
    value = max(waits.milliseconds(waits.assign, 99) for waits in measured.values())
    return Result(
        metric=f"p99 of the time to the next item, {arguments.annotators} annotators at once",
        value=value,
        unit="ms",
        peer="the target",
        peer_value=TARGET_MILLISECONDS,
        ratio=round(TARGET_MILLISECONDS / value, 2),
        packages=("sqlalchemy", "aiosqlite", "psycopg", "grpcio"),
        details={
            "annotators": arguments.annotators,
            "think_seconds": arguments.think,
            "measured_seconds": arguments.seconds,
            **{kind: summary(waits) for kind, waits in measured.items()},
        },
    )


def summary(waits: Waits) -> dict[str, float]:
    found: dict[str, float] = {"items": len(waits.assign)}
    for percent in (50, 99):
        found[f"next_item_p{percent}_ms"] = waits.milliseconds(waits.assign, percent)
        found[f"submit_p{percent}_ms"] = waits.milliseconds(waits.submit, percent)
    return found


if __name__ == "__main__":
    main("annotation_load", run, options)
