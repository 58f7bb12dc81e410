"""From a system to what made it: response set, model, checkpoint, run, dataset."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from services.judging.response_sets import read_manifest
from services.judging.study import StudySpec
from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import ObjectStore

_CHECKPOINT = re.compile(r"runs/([a-z0-9-]+)/checkpoints/epoch-(\d+)")
_MAX_CONTEXT_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of one system; empty or 0 where nothing was recorded."""

    responses_uri: str
    model: str = ""
    origin: str = ""
    run: str = ""
    epoch: int = 0
    dataset: str = ""
    training_examples: int = 0
    perplexity: float = 0.0
    sampling: str = ""


def parse_context(text: str) -> dict[str, Any]:
    """The caller's context; raises InvalidInput unless it is a JSON object."""
    if len(text) > _MAX_CONTEXT_CHARACTERS:
        raise InvalidInput("context_json", f"{len(text)} characters", f"must have at most {_MAX_CONTEXT_CHARACTERS}")
    try:
        context = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise InvalidInput("context_json", text, "must be JSON") from None
    if not isinstance(context, dict):
        raise InvalidInput("context_json", text, "must be a JSON object")
    return context


def trace(store: ObjectStore, spec: StudySpec, context: dict[str, Any]) -> dict[str, Provenance]:
    """Provenance of each system from the manifests in the store; the context may add to it by system."""
    given = context.get("systems", {})
    return {
        system.name: _trace_one(
            store, system.responses_uri, given.get(system.name, {}) if isinstance(given, dict) else {}
        )
        for system in spec.systems
    }


def _trace_one(store: ObjectStore, uri: str, given: Any) -> Provenance:
    given = given if isinstance(given, dict) else {}
    manifest = read_manifest(store, uri)
    model = str(manifest.get("model", ""))
    described = _model_manifest(store, model)
    origin = str(given.get("origin") or described.get("origin", ""))
    found = _CHECKPOINT.search(f"{origin} {given.get('checkpoint', '')}")
    run = str(given.get("run") or (found.group(1) if found else "")).removeprefix("runs/")
    epoch = int(found.group(2)) if found else 0
    recorded = _json(store, f"runs/{run}/run.json").get("spec", {}) if run else {}
    trained_on = recorded.get("dataset", "") if isinstance(recorded, dict) else ""
    dataset = str(given.get("dataset") or trained_on)
    return Provenance(
        responses_uri=uri,
        model=model,
        origin=origin,
        run=run,
        epoch=epoch,
        dataset=dataset,
        training_examples=_training_examples(store, dataset),
        perplexity=_perplexity(store, run, epoch) if run and epoch else 0.0,
        sampling=json.dumps(manifest["sampling"], sort_keys=True) if "sampling" in manifest else "",
    )


def _model_manifest(store: ObjectStore, model: str) -> dict[str, Any]:
    """The manifest of "models/<name>/versions/<version>"."""
    parts = model.split("/")
    return _json(store, f"models/{parts[1]}/{parts[3]}/manifest.json") if len(parts) == 4 else {}


def _training_examples(store: ObjectStore, dataset: str) -> int:
    key = dataset.split("://", 1)[-1].split("/", 1)[-1] if "://" in dataset else dataset
    counts = _json(store, f"{key.strip('/')}/manifest.json").get("split_counts", {}) if key else {}
    train = counts.get("train", 0) if isinstance(counts, dict) else 0
    return train if isinstance(train, int) else 0


def _perplexity(store: ObjectStore, run: str, epoch: int) -> float:
    """Held-out perplexity after the epoch, from the run's metrics."""
    try:
        lines = store.get_bytes(f"runs/{run}/metrics.jsonl").splitlines()
    except (NotFound, InvalidInput):
        return 0.0
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("kind") == "evaluation" and round(float(row.get("epoch", 0))) == epoch:
            return float(row.get("perplexity") or 0.0)
    return 0.0


def _json(store: ObjectStore, key: str) -> dict[str, Any]:
    try:
        value = json.loads(store.get_bytes(key, max_bytes=4 << 20))
    except (NotFound, InvalidInput, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
