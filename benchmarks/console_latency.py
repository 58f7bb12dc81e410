"""How long the console's pages take, with a dataset of 10,000 examples and a study of 1,000,000 verdicts behind them.

    python -m benchmarks.console_latency [--examples 10000] [--verdicts 1000000] [--visitors 4] [--rounds 20]
                                           [--think 0.25] [--record]

Curation, inference, judging, the console and an S3 server are processes of their own; visitors are HTTP clients in
this one, each of which reads a page, thinks a little (far less than a person), then opens the next. `value` is the
95th percentile over all pages of the time to the last byte of a page; each page has its own in the details. The
target of 100 ms stands in the place of a peer: none of the annotation tools named in the design pages serves these
pages. Parts that a page fetches after it is there (the results of a study, which are computed from every verdict)
are timed apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import sqlalchemy
from google.longrunning import operations_pb2, operations_pb2_grpc

from benchmarks.harness import Result, main
from benchmarks.judging_stack import bench_settings, put_responses, running_service
from lima.curation.v1 import curation_pb2, curation_pb2_grpc, review_pb2, review_pb2_grpc, spec_pb2
from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.judging import tables
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect_blocking
from services.shared.settings import Settings
from tests.fixtures.seaweedfs import running_seaweedfs

TARGET_MILLISECONDS = 100.0
PROMPTS = 10_000
JUDGE = "judge-0"
PATIENCE_SECONDS = 1800.0
CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]+)">')


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--visitors", type=int, default=4)
    parser.add_argument("--think", type=float, default=0.25, help="mean seconds between two pages of a visitor")
    parser.add_argument("--rounds", type=int, default=20)


def run(arguments: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as place, ExitStack() as stack:
        s3 = stack.enter_context(running_seaweedfs())
        settings = bench_settings(Path(place), s3.endpoint, s3.access_key, s3.secret_key)
        addresses = {
            f"{name}_address": stack.enter_context(running_service(name, settings))
            for name in ("curation", "inference", "judging")
        }
        settings = settings.model_copy(update=addresses)
        console = stack.enter_context(running_service("console", settings))
        filled = fill(settings, arguments)
        waits = asyncio.run(visit(f"http://{console}", settings, filled["pages"], arguments))
    return summary(waits, filled, arguments)


def fill(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Makes the dataset, the queue and the study; returns the pages to visit and how much there is."""
    assert settings.token is not None
    token = settings.token.get_secret_value()
    store = ObjectStore.from_settings(settings)
    began = time.perf_counter()
    with connect_blocking(settings.curation_address, token) as channel:
        dataset = fill_curation(channel, store, arguments.examples)
    with connect_blocking(settings.judging_address, token) as channel:
        fill_judging(channel, store)
    verdicts = multiply_verdicts(settings, arguments.verdicts)
    pages = [
        "/", "/review", "/review/large/next", "/review/large/table", "/author", "/datasets", f"/{dataset.name}",
        f"/{dataset.name}?query=subject+77", "/runs", "/chat", "/annotate", "/studies", "/studies/large",
    ]  # fmt: skip
    print(f"filled in {time.perf_counter() - began:.0f} s")
    return {"pages": pages, "examples": dataset.split_counts["train"], "verdicts": verdicts}


def fill_curation(channel: grpc.Channel, store: ObjectStore, examples: int) -> curation_pb2.Dataset:
    curation = curation_pb2_grpc.CurationServiceStub(channel)
    review = review_pb2_grpc.ReviewServiceStub(channel)
    lines = (
        {"id": f"e{i}", "group": "A", "split": "train", "prompt": f"What is subject {i}?", "response": words(i)}
        for i in range(examples)
    )
    store.put_bytes("uploads/large/authored.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    imported = curation.ImportCorpus(
        curation_pb2.ImportCorpusRequest(corpus_id="large", source_uri=store.uri("uploads/large"))
    )
    finish(channel, imported, curation_pb2.Corpus())
    source = spec_pb2.SourceSpec(
        name="written",
        corpus="large",
        quota=spec_pb2.Quota(train=examples, allow_fewer=True),
        authored=spec_pb2.AuthoredSource(group="A"),
    )
    spec = spec_pb2.DatasetSpec(name="large", seed=1, sources=[source], dedup=spec_pb2.DedupSpec(enabled=False))
    finish(channel, review.FillQueue(review_pb2.FillQueueRequest(spec=spec)), review_pb2.Queue())
    built = curation.BuildDataset(curation_pb2.BuildDatasetRequest(spec=spec))
    dataset: curation_pb2.Dataset = finish(channel, built, curation_pb2.Dataset())
    return dataset


def words(number: int) -> str:
    return " ".join(f"word{(number * 31 + place * 17) % 9973}" for place in range(120))


def fill_judging(channel: grpc.Channel, store: ObjectStore) -> None:
    judging = judging_pb2_grpc.JudgingServiceStub(channel)
    systems = ("ours", "theirs")
    spec = study_pb2.StudySpec(
        name="large",
        protocol=study_pb2.PROTOCOL_PAIRWISE,
        systems=[
            study_pb2.System(name=name, responses_uri=put_responses(store, name, PROMPTS, 150)) for name in systems
        ],
        human=study_pb2.HumanSpec(overlap=1),
    )
    judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec), timeout=PATIENCE_SECONDS)
    store.put_bytes("uploads/verdicts.jsonl", "".join(verdict_lines(systems)).encode())
    request = judging_pb2.ImportVerdictsRequest(
        name="studies/large", source_uri=store.uri("uploads/verdicts.jsonl"), format="lima-jsonl"
    )
    judging.ImportVerdicts(request, timeout=PATIENCE_SECONDS)


def verdict_lines(systems: Sequence[str]) -> Iterator[str]:
    """One judge's verdicts, one on every prompt."""
    for number in range(PROMPTS):
        verdict = {
            "prompt_id": f"p{number}",
            "systems": list(systems),
            "judge": JUDGE,
            "preference": (number * 7919 % 3) / 2,
            "first_on_a": number % 2 == 0,
        }
        yield json.dumps(verdict) + "\n"


def multiply_verdicts(settings: Settings, wanted: int) -> int:
    """Gives the imported verdicts to as many judges as it takes, in the database: a million imports take long."""
    copies = [_copy(table) for table in (tables.verdicts, tables.tallies)]
    with sqlite3.connect(settings.database_url_for("judging").removeprefix("sqlite:///"), timeout=60) as database:
        for number in range(1, wanted // PROMPTS):
            for copy in copies:
                database.execute(copy, (f"judge-{number}", JUDGE))
        (count,) = database.execute("SELECT count(*) FROM verdicts").fetchone()
    database.close()
    return int(count)


def _copy(table: sqlalchemy.Table) -> str:
    """Copies the rows of judge ?2 as rows of judge ?1."""
    columns = [column.name for column in table.columns if column.name != "id"]
    chosen = ", ".join("?1" if name == "judge" else name for name in columns)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {chosen} FROM {table.name} WHERE judge = ?2"


def finish(channel: grpc.Channel, operation: operations_pb2.Operation, result: Any) -> Any:
    operations = operations_pb2_grpc.OperationsStub(channel)
    while not operation.done:
        time.sleep(0.5)
        operation = operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name))
    if operation.HasField("error"):
        raise RuntimeError(operation.error.message)
    operation.response.Unpack(result)
    return result


async def visit(
    url: str, settings: Settings, pages: Sequence[str], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of every request by page. Each visitor signs in as somebody of their own."""
    waits: dict[str, list[float]] = defaultdict(list)
    draws = random.Random(0)

    async def visitor(number: int, rounds: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60, headers={"accept": "text/html"}) as client:
            await sign_in(client, settings, f"visitor {number}")
            for _ in range(rounds):
                for page in pages:
                    began = time.perf_counter()
                    answer = await client.get(page, follow_redirects=True)
                    waits[page].append(time.perf_counter() - began)
                    answer.raise_for_status()
                    await asyncio.sleep(draws.uniform(0, 2 * arguments.think))

    # The first visit of a page compiles its template; it is not what people meet.
    await visitor(0, rounds=1)
    waits.clear()
    await asyncio.gather(*(visitor(number, arguments.rounds) for number in range(arguments.visitors)))
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, headers={"accept": "text/html"}) as client:
        await sign_in(client, settings, "reader")
        for part in ("/parts/studies/large/progress", "/parts/studies/large/results"):
            began = time.perf_counter()
            answer = await client.get(part)
            # A part that does not come is told in the result; the pages are what is measured.
            name = f"part {part}" if answer.is_success else f"part {part} (status {answer.status_code})"
            waits[name].append(time.perf_counter() - began)
    return waits


async def sign_in(client: httpx.AsyncClient, settings: Settings, name: str) -> None:
    assert settings.token is not None
    found = CSRF.search((await client.get("/sign-in")).text)
    assert found is not None
    fields = {"token": settings.token.get_secret_value(), "name": name, "csrf": found[1]}
    answer = await client.post("/sign-in", data=fields)
    assert answer.status_code == 303, answer.text


def summary(waits: dict[str, list[float]], filled: dict[str, Any], arguments: argparse.Namespace) -> Result:
    def milliseconds(seconds: Sequence[float], percent: float) -> float:
        return round(1000 * float(np.percentile(seconds, percent)), 1)

    pages = {page: seconds for page, seconds in waits.items() if not page.startswith("part ")}
    every = [one for seconds in pages.values() for one in seconds]
    worst = max(pages, key=lambda page: milliseconds(pages[page], 95))
    value = milliseconds(every, 95)
    return Result(
        metric="time to a whole page, 95th percentile",
        value=value,
        unit="ms",
        peer="the target",
        peer_value=TARGET_MILLISECONDS,
        ratio=round(TARGET_MILLISECONDS / value, 2),
        packages=("fastapi", "uvicorn", "jinja2", "grpcio"),
        details={
            "p50_ms": milliseconds(every, 50),
            "p99_ms": milliseconds(every, 99),
            "slowest_page": worst.replace(filled["pages"][6], "/datasets/large"),
            "slowest_page_p95_ms": milliseconds(pages[worst], 95),
            "p95_ms_by_page": {
                page.replace(filled["pages"][6], "/datasets/large"): milliseconds(seconds, 95)
                for page, seconds in waits.items()
            },
            "requests": len(every),
            "visitors": arguments.visitors,
            "think_seconds": arguments.think,
            "examples": filled["examples"],
            "verdicts": filled["verdicts"],
        },
    )


if __name__ == "__main__":
    main("console_latency", run, options)
