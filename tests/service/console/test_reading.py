"""Pages that are read: home, datasets, runs."""

from __future__ import annotations

import html
import json
import re
import time

import pytest

from lima.curation.v1 import curation_pb2
from lima.judging.v1 import judging_pb2, study_pb2
from services.console.sessions import Role
from services.shared.records import RunPhase
from tests.service.console.seeding import authored_corpus, build_dataset, run_records, study
from tests.service.console.stack import Stack
from tests.service.console.visitor import DATA, Visitor

TRAIN = 30


@pytest.fixture(scope="module")
def dataset(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> curation_pb2.Dataset:
    authored_corpus(stack, "to-read", TRAIN, tmp_path_factory.mktemp("corpus") / "to-read")
    return build_dataset(stack, "readable", "to-read", TRAIN)


@pytest.fixture
def viewer(stack: Stack) -> Visitor:
    return Visitor(stack).come_in(stack, "vera", Role.VIEWER)


def examples(page: str) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'href="(/datasets/[^"]+/examples/[^"]+)"', page)]


def test_a_dataset_with_its_statistics(viewer: Visitor, dataset: curation_pb2.Dataset) -> None:
    assert f'href="/{dataset.name}"' in viewer.get("/datasets").text
    page = viewer.get(f"/{dataset.name}").text
    assert f"train {TRAIN}" in page
    titles = re.findall(r"<figcaption>([^<]+)</figcaption>", page)
    assert titles[0] == "Examples per source and split"
    assert titles[-2:] == ["Tokens in a prompt", "Tokens in a response"]
    assert f'aria-label="Tokens in a prompt: 0–15 {TRAIN}' in page
    assert f"not stated {TRAIN}" in page
    assert viewer.get(f"/{dataset.name}/funnel").status_code == 200


def test_searching_and_paging_examples(viewer: Visitor, dataset: curation_pb2.Dataset) -> None:
    page = viewer.get(f"/{dataset.name}").text
    assert len(examples(page)) == 25
    more = html.unescape(re.findall(r'href="(\?[^"]*page_token=[^"]+)"', page)[0])
    rest = viewer.get(f"/{dataset.name}{more}").text
    assert len(examples(rest)) == TRAIN - 25
    assert not set(examples(page)) & set(examples(rest))
    wanted = re.findall(r"boil (\w+) on", page)[3]
    assert 1 <= len(examples(viewer.get(f"/{dataset.name}?query={wanted}").text)) < TRAIN
    assert examples(viewer.get(f"/{dataset.name}?query=nothing-like-this").text) == []
    assert viewer.get(f"/{dataset.name}?page_token=forged").status_code == 400


def test_an_example_with_its_lineage(viewer: Visitor, dataset: curation_pb2.Dataset) -> None:
    link = examples(viewer.get(f"/{dataset.name}").text)[0]
    page = viewer.get(link).text
    assert "authored.jsonl" in page
    assert "to-read" in page
    assert "<script>window" not in page
    assert viewer.get(f"/{dataset.name}/examples/none").status_code == 404


def test_runs_and_their_curves(stack: Stack, viewer: Visitor) -> None:
    run_records(stack, "to-watch", RunPhase.RUNNING)
    run_records(stack, "to-keep", RunPhase.SUCCEEDED)
    page = viewer.get("/runs/to-watch").text
    assert page.count("<svg") == 5
    assert "Step 40 of 80" in page
    part = viewer.get("/parts/runs/to-watch").text
    assert part.count("<svg") == 5
    assert "<html" not in part
    assert "epoch-02 · selected" in viewer.get("/runs/to-keep").text
    assert viewer.get("/runs/no-such-run").status_code == 404
    assert viewer.get("/runs/%2e%2e").status_code in (400, 404)


def test_quality_is_drawn_for_each_judge(stack: Stack, viewer: Visitor) -> None:
    """Two people grade two epochs; their group has one curve beside the perplexity."""
    run_records(stack, "to-select", RunPhase.SUCCEEDED)
    made = study(
        stack,
        "selection-to-see",
        study_pb2.PROTOCOL_LIKERT,
        2,
        ("epoch-05", "epoch-06"),
        selection=study_pb2.Selection(run="runs/to-select", first_epoch=5, last_epoch=6),
    )
    grades = {"few": "2", "many": "5"}
    for _ in range(4):
        item = stack.annotation.AssignItem(judging_pb2.AssignItemRequest(parent=made.name, annotator="ann"))
        choice = next(grade for word, grade in grades.items() if word in item.sides[0].messages[0].content)
        stack.annotation.SubmitVerdict(
            judging_pb2.SubmitVerdictRequest(name=item.name, lease=item.lease, annotator="ann", choice=choice)
        )
    page = viewer.get("/runs/to-select").text
    assert page.count("<svg") == 6
    assert 'aria-label="Judged quality per epoch: crowd 5"' in page
    assert "/studies/selection-to-see" in page


def test_the_log_is_there_as_it_grows(stack: Stack, viewer: Visitor) -> None:
    run_records(stack, "talking", RunPhase.RUNNING)
    for said in ("step 1", "step 1\n<b>step 2</b>"):
        stack.store.put_bytes("runs/talking/log.txt", said.encode())
        assert html.escape(said) in viewer.get("/parts/runs/talking").text
    assert html.escape(said) in viewer.get("/runs/talking").text


def test_a_run_without_metrics_is_a_page_too(stack: Stack, viewer: Visitor) -> None:
    run_records(stack, "young", RunPhase.PENDING)
    stack.store.delete("runs/young/metrics.jsonl")
    assert viewer.get("/runs/young").status_code == 200


def test_half_written_records_are_told(stack: Stack, viewer: Visitor) -> None:
    run_records(stack, "torn", RunPhase.RUNNING)
    data = stack.store.get_bytes("runs/torn/metrics.jsonl")
    stack.store.put_bytes("runs/torn/metrics.jsonl", data + b'{"kind": "st')
    assert "1 lines of the metrics could not be read" in viewer.get("/runs/torn").text
    stack.store.put_bytes("runs/torn/status.json", b"{")
    assert viewer.get("/runs/torn").status_code == 404


def test_cancelling_leaves_the_wish_where_the_training_loop_looks(stack: Stack) -> None:
    run_records(stack, "to-stop", RunPhase.RUNNING)
    run_records(stack, "ended", RunPhase.SUCCEEDED)
    operator = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    assert operator.post("/runs/to-stop/cancel").status_code == 303
    assert json.loads(stack.store.get_bytes("runs/to-stop/cancel.json"))["by"] == "op"
    assert "Asked to stop" in operator.get("/runs/to-stop").text
    assert operator.post("/runs/ended/cancel").status_code == 303
    assert stack.store.stat("runs/ended/cancel.json") is None
    assert operator.post("/runs/none/cancel", {}, DATA).status_code == 404


def test_home_shows_the_loop(stack: Stack, viewer: Visitor, dataset: curation_pb2.Dataset) -> None:
    run_records(stack, "at-work", RunPhase.RUNNING)
    # An answer of a moment ago is given while a newer one is asked for behind the reader's back.
    for _ in range(100):
        page = viewer.get("/").text
        if "readable/" in page:
            break
        time.sleep(0.1)
    assert "readable/" in page
    assert page.count('class="count"') == 6
    assert 'class="count">?' not in page
    assert "<html" not in viewer.get("/parts/home").text


def test_home_of_an_annotator_shows_tasks_alone(stack: Stack, dataset: curation_pb2.Dataset) -> None:
    page = Visitor(stack).come_in(stack, "mina", Role.ANNOTATOR).get("/").text
    assert 'class="count"' not in page
    assert "readable" not in page
