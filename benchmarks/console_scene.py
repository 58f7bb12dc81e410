"""What the console's load run looks at: a dataset, its review queue, a study of very many verdicts, a run, a draft."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import sqlalchemy
from google.longrunning import operations_pb2, operations_pb2_grpc

from benchmarks.judging_stack import put_responses
from lima.common.v1 import message_pb2
from lima.curation.v1 import (
    authoring_pb2,
    authoring_pb2_grpc,
    curation_pb2,
    curation_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
    spec_pb2,
)
from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.judging import tables
from services.shared.objects import ObjectStore
from services.shared.records import MetricsRow, RunPhase, RunStatus
from services.shared.rpc.client import connect_blocking
from services.shared.settings import Settings

PROMPTS = 10_000
STEPS = 480
JUDGE = "judge-0"
PATIENCE_SECONDS = 1800.0


def fill(settings: Settings, examples: int, verdicts: int) -> dict[str, Any]:
    """Makes the dataset, the queue and the study; returns the pages to visit and how much there is."""
    assert settings.token is not None
    token = settings.token.get_secret_value()
    store = ObjectStore.from_settings(settings)
    began = time.perf_counter()
    with connect_blocking(settings.curation_address, token) as channel:
        dataset = fill_curation(channel, store, examples)
        last = store.get_bytes(f"{store.key(dataset.uri)}/train.jsonl").splitlines()[-1]
        last = json.loads(last)["id"]
        draft = write_draft(channel)
    with connect_blocking(settings.judging_address, token) as channel:
        fill_judging(channel, store)
    count = multiply_verdicts(settings, verdicts)
    fill_run(store)
    print(f"filled in {time.perf_counter() - began:.0f} s")
    # By the name that the result shows.
    plain = (
        "/", "/review", "/review/large/next", "/review/large/table", "/review/large/funnel", "/author", "/datasets",
        "/runs", "/runs/long", "/chat", "/annotate", "/studies", "/studies/large",
    )  # fmt: skip
    pages = {page: page for page in plain} | {
        "/author/d/(a draft)": f"/author/d/{draft.name.rpartition('/')[2]}",
        "/datasets/large": f"/{dataset.name}",
        "/datasets/large?query=subject+77": f"/{dataset.name}?query=subject+77",
        "/datasets/large?query=(nowhere)": f"/{dataset.name}?query=nowhere",
        "/datasets/large/examples/(the last)": f"/{dataset.name}/examples/{last}",
    }
    return {"pages": pages, "examples": dataset.split_counts["train"], "verdicts": count}


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


def write_draft(channel: grpc.Channel) -> authoring_pb2.Draft:
    messages = [
        message_pb2.Message(role=role, content=words(place)) for place, role in enumerate(("user", "assistant"))
    ]
    draft = authoring_pb2.Draft(group="A", split="train", messages=messages, author="somebody")
    created: authoring_pb2.Draft = authoring_pb2_grpc.AuthoringServiceStub(channel).CreateDraft(
        authoring_pb2.CreateDraftRequest(parent="collections/authored", draft=draft)
    )
    return created


def fill_run(store: ObjectStore) -> None:
    """A run at work whose every step of the paper's fifteen epochs over a thousand examples is recorded."""
    now = datetime.now(UTC)
    steps = [
        MetricsRow(kind="step", step=step, epoch=step / 16, loss=2.0, learning_rate=1e-5, gradient_norm=1.0,
                   tokens_per_second=1000.0, time=now)
        for step in range(STEPS)
    ]  # fmt: skip
    status = RunStatus(
        run="long", phase=RunPhase.RUNNING, step=STEPS, total_steps=STEPS, epoch=14, total_epochs=15, updated=now
    )
    store.put_bytes("runs/long/metrics.jsonl", "".join(row.model_dump_json() + "\n" for row in steps).encode())
    store.put_bytes("runs/long/status.json", status.model_dump_json().encode())


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
