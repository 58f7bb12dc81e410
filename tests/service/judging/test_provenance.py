"""From a system's responses back to model, run, epoch, dataset and perplexity, through the records in the store."""

from __future__ import annotations

import json

from services.judging.report.provenance import Provenance, trace
from services.judging.study import StudySpec
from services.shared.objects import ObjectStore


def put(store: ObjectStore, key: str, value: object) -> None:
    store.put_bytes(key, json.dumps(value).encode())


def spec(store: ObjectStore) -> StudySpec:
    systems = [{"name": name, "responses_uri": store.uri(f"responses/{name}.jsonl")} for name in ("tuned", "unknown")]
    return StudySpec.parse({"name": "traced", "protocol": "pairwise", "systems": systems})


def test_every_step_back_is_found(object_store: ObjectStore) -> None:
    store = object_store
    dataset = "datasets/small/0123"
    put(store, "responses/tuned.manifest.json", {"model": "models/tuned/versions/v1", "sampling": {"top_p": 0.9}})
    put(store, "models/tuned/v1/manifest.json", {"origin": "runs/first/checkpoints/epoch-06"})
    put(store, "runs/first/run.json", {"spec": {"dataset": store.uri(f"{dataset}/")}})
    put(store, f"{dataset}/manifest.json", {"split_counts": {"train": 1000, "dev": 50}})
    rows = [{"kind": "evaluation", "epoch": epoch, "perplexity": 4.0 + epoch} for epoch in (5, 6, 7)]
    store.put_bytes("runs/first/metrics.jsonl", "\n".join(map(json.dumps, rows)).encode() + b"\nnot json\n")
    found = trace(store, spec(store), {})
    assert found["tuned"] == Provenance(
        responses_uri=store.uri("responses/tuned.jsonl"),
        model="models/tuned/versions/v1",
        origin="runs/first/checkpoints/epoch-06",
        run="first",
        epoch=6,
        dataset=store.uri(f"{dataset}/"),
        training_examples=1000,
        perplexity=10.0,
        sampling='{"top_p": 0.9}',
    )
    assert found["unknown"] == Provenance(responses_uri=store.uri("responses/unknown.jsonl"))


def test_the_caller_may_know_more(object_store: ObjectStore) -> None:
    context = {"systems": {"unknown": {"run": "runs/second", "dataset": "datasets/other/1"}}}
    found = trace(object_store, spec(object_store), context)["unknown"]
    assert (found.run, found.dataset) == ("second", "datasets/other/1")
    for odd in ({"systems": []}, {"systems": {"unknown": "text"}}):
        assert trace(object_store, spec(object_store), odd)["unknown"].run == ""
