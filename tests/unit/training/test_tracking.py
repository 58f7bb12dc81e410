"""Curves in each tracker's own files, read back by its own reader."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.shared.errors import FailedPrecondition
from services.shared.records import MetricsRow
from training_jobs.spec import Tracking
from training_jobs.tracking import Tracker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    MetricsRow(kind="step", step=1, epoch=0.5, loss=3.0, learning_rate=1e-5, time=NOW),
    MetricsRow(kind="step", step=2, epoch=1.0, loss=2.0, learning_rate=1e-6, time=NOW),
    MetricsRow(kind="evaluation", step=2, epoch=1, loss=2.5, perplexity=12.2, time=NOW),
]


def record(folder: Path, settings: Tracking) -> Tracker:
    tracker = Tracker("r1", folder / "board", settings, first_step=0)
    for row in ROWS:
        tracker.record(row)
    tracker.close()
    return tracker


def test_tensorboard_files_are_always_written(tmp_path: Path) -> None:
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")

    record(tmp_path, Tracking())
    board = accumulator.EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("step/loss")] == [(1, 3.0), (2, 2.0)]
    assert [event.value for event in board.Scalars("evaluation/perplexity")] == [pytest.approx(12.2)]


def test_mlflow_has_the_runs_curves(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is an extra of its own: uv pip install 'lima[mlflow]'")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    record(tmp_path, Tracking(mlflow_uri=uri))
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs(["0"])
    assert run.info.run_name == "r1"
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "step.loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0)]
    assert run.data.metrics["evaluation.perplexity"] == pytest.approx(12.2)


def test_a_resumed_run_goes_on_in_its_mlflow_run(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is an extra of its own: uv pip install 'lima[mlflow]'")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):
        record(tmp_path, Tracking(mlflow_uri=uri))
    assert len(mlflow.MlflowClient(uri).search_runs(["0"])) == 1


def test_weights_and_biases_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra of its own: uv pip install 'lima[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    record(tmp_path, Tracking(wandb_project="lima"))
    (written,) = tmp_path.glob("wandb/offline-run-*-r1/run-r1.wandb")
    assert b"step/loss" in written.read_bytes()


@pytest.mark.parametrize(
    ("module", "settings", "field"),
    [
        ("mlflow", Tracking(mlflow_uri="sqlite:///x.db"), "tracking.mlflow_uri"),
        ("wandb", Tracking(wandb_project="p"), "tracking.wandb_project"),
    ],
)
def test_a_tracker_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, settings: Tracking, field: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FailedPrecondition, match=field) as caught:
        Tracker("r1", tmp_path / "board", settings, first_step=0)
    assert f"lima[{module}]" in caught.value.remedy
