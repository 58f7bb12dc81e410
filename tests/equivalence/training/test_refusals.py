"""Bad inputs through the public command: one clear message, exit code 1, the reason in the run's status."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from services.shared.records import RunPhase
from tests.equivalence.training.laboratory import Laboratory
from tests.fixtures.tiny_language_model import write_dataset
from training_jobs.__main__ import main


def refused(laboratory: Laboratory, capsys: pytest.CaptureFixture[str], spec: Path) -> str:
    os.environ.update(laboratory.environment)
    assert main(["run", "--spec", str(spec)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error[error.index("error: ") :]


def example(**changes: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "tea"}, {"role": "assistant", "content": "hot"}]
    return {"id": "e1", "source": "t", "split": "train", "messages": turns} | changes


@pytest.mark.parametrize(
    ("name", "line", "rule"),
    [
        ("no-assistant", example(messages=[{"role": "user", "content": "tea"}]), "at least one assistant turn"),
        (
            "too-long",
            example(messages=[{"role": "user", "content": "tea " * 3000}, *example()["messages"][1:]]),
            "is left",
        ),
        (
            "own-eot",
            example(messages=[{"role": "user", "content": "a<|eot|>b"}, *example()["messages"][1:]]),
            "end-of-turn",
        ),
        ("malformed", {"id": "e1"}, "train.jsonl:1:source"),
    ],
)
def test_a_dataset_that_cannot_be_trained_on(
    laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, line: Any, rule: str
) -> None:
    spec = laboratory.spec(f"bad-{name}", dataset=str(write_dataset(tmp_path, lines=[line])))
    assert rule in refused(laboratory, capsys, spec)
    status = json.loads((laboratory.run_folder(f"bad-{name}") / "status.json").read_text())
    assert status["phase"] == RunPhase.FAILED
    assert rule in status["message"]
    assert not (laboratory.run_folder(f"bad-{name}") / "lease.json").exists()


def test_an_absent_dataset_or_model(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(laboratory.folder / "absent")
    assert "dataset = " in refused(laboratory, capsys, laboratory.spec("absent-data", dataset=absent))
    assert "base_model = " in refused(laboratory, capsys, laboratory.spec("absent-model", base_model=absent))


def test_a_pickled_model(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    assert "pickled" in refused(laboratory, capsys, laboratory.spec("pickled", base_model=str(base)))


def test_a_clashing_end_of_turn(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    spec = laboratory.spec("clash", {"end_of_turn": {"token": "tea"}})
    assert "choose a token that the tokenizer does not know" in refused(laboratory, capsys, spec)


def test_an_exploding_loss_names_step_and_examples_and_keeps_the_last_state(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"learning_rate": 1e4, "final_learning_rate": 1e4, "gradient_clip": None}
    spec = laboratory.spec("exploding", recipe, checkpoints={"state_every_steps": 1})
    error = refused(laboratory, capsys, spec)
    assert re.search(r"training diverged at step \d+: the (loss|gradient's norm) is", error)
    assert "on examples train-" in error
    assert "lower recipe.learning_rate" in error
    states = list((laboratory.run_folder("exploding") / "state").glob("step-*/manifest.json"))
    assert states, "the state before the step that diverged stays"


def test_two_runs_with_one_name(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    laboratory.train("named", {"epochs": 1})
    error = refused(laboratory, capsys, laboratory.spec("named", {"epochs": 1, "seed": 7}))
    assert "other settings (recipe.seed)" in error


def test_what_cannot_fit(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_jobs.planning.host_memory", lambda: 10e6)
    assert "are there" in refused(laboratory, capsys, laboratory.spec("large"))


def test_a_malformed_spec(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.yaml").write_text("run: [")
    assert "must be YAML or JSON" in refused(laboratory, capsys, tmp_path / "spec.yaml")


def test_a_store_that_is_full(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the store's cannot be made, from the first checkpoint on."""
    monkeypatch.setattr("training_jobs.store_sync.RETRY_SECONDS", 0.0)
    folder = laboratory.run_folder("full")
    folder.mkdir(parents=True)
    (folder / "checkpoints").write_text("a file where the folder should be")
    assert "could not be written" in refused(laboratory, capsys, laboratory.spec("full"))
    assert not (folder / "state").exists()
