"""A run whose inputs and outputs are in a real S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from services.shared.errors import LimaError, Unavailable
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.fixtures.tiny_language_model import write_base_model, write_dataset
from training_jobs import driver
from training_jobs.run_folder import RunFolder
from training_jobs.spec import TrainingSpec, parse_spec


@pytest.fixture
def spec(object_store: ObjectStore, tmp_path: Path) -> TrainingSpec:
    object_store.put_folder("models/tiny/v1", write_base_model(tmp_path / "base"))
    object_store.put_folder("datasets/tiny/d1", write_dataset(tmp_path / "dataset", train=8, dev=2))
    return parse_spec(
        {
            "run": "tiny",
            "base_model": object_store.uri("models/tiny/v1/"),
            "dataset": object_store.uri("datasets/tiny/d1"),
            "recipe": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3},
            "compute": {"engine": "bare", "threads": 1},
            "checkpoints": {"keep_first": 2, "dtype": "bfloat16"},
            "evaluation": {"answers": 1, "max_new_tokens": 4},
        }
    )


def test_a_run_leaves_what_the_layout_says(
    spec: TrainingSpec, settings: Settings, object_store: ObjectStore, tmp_path: Path
) -> None:
    status = driver.run(spec, settings)
    assert (status.phase, status.step, status.last_checkpoint) == (RunPhase.SUCCEEDED, 4, "checkpoints/epoch-02")
    keys = {info.key.removeprefix("runs/tiny/") for info in object_store.list("runs/tiny/")}
    assert {"run.json", "status.json", "metrics.jsonl", "checkpoints/epoch-02/manifest.json"} <= keys
    assert not any(key.startswith(("checkpoints/epoch-01", "lease", "state/step-000002")) for key in keys)
    assert any(key.startswith("tensorboard/events.out.tfevents") for key in keys)
    manifest = object_store.get_folder("runs/tiny/checkpoints/epoch-02", tmp_path / "checkpoint")
    assert manifest["epoch"] == 2
    assert manifest["recipe"]["residual_dropout"]["top"] == 0.3
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    assert model.dtype == torch.bfloat16
    run = RunFolder.open("tiny", "", settings)
    # Every epoch answered, the last one for the four prompts of the check that generation stops (dev holds two).
    assert [len(run.answers(epoch)) for epoch in (1, 2)] == [1, 2]
    assert "answers of the last epoch end in EOT" in status.message
    assert [row.kind for row in run.metrics()].count("evaluation") == 3
    before = {info.key: info.etag for info in object_store.list("runs/tiny/")}
    assert driver.run(spec, settings) == status
    assert {info.key: info.etag for info in object_store.list("runs/tiny/")} == before


def test_an_unreachable_store_is_told_plainly(spec: TrainingSpec, settings: Settings) -> None:
    elsewhere = settings.model_copy(
        update={
            "object_store_endpoint": "http://127.0.0.1:9",
            "object_store_attempts": 1,
            "object_store_connect_seconds": 1,
        }
    )
    with pytest.raises(Unavailable):
        driver.run(spec, elsewhere)


def test_a_damaged_base_model_is_refused(spec: TrainingSpec, settings: Settings, object_store: ObjectStore) -> None:
    object_store.put_bytes("models/tiny/v1/model.safetensors", b"not what was written")
    with pytest.raises(LimaError, match="is not the file that was written"):
        driver.run(spec, settings)
    status = RunFolder.open("tiny", "", settings).status()
    assert status is not None
    assert status.phase is RunPhase.FAILED
