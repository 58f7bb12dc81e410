"""`lima train` against a folder of runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.commands.training import app
from services.shared.errors import InvalidInput, NotFound
from services.shared.records import MetricsRow, RunPhase, RunStatus
from training_jobs.run_folder import RunFolder
from training_jobs.spec import parse_spec
from training_jobs.storage import FolderStorage


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("LIMA_STATE_DIR", str(tmp_path / "state"))
    folder = RunFolder(FolderStorage(tmp_path / "runs"), "r1", "r1")
    folder.claim(parse_spec({"run": "r1", "base_model": "m", "dataset": "d"}))
    now = datetime.now(UTC)
    folder.write_status(RunStatus(run="r1", phase=RunPhase.RUNNING, step=3, total_steps=10, loss=2.5, updated=now))
    rows = [MetricsRow(kind="step", step=step, epoch=step / 10, loss=3.0 - step, time=now) for step in (1, 2)]
    folder.storage.put_bytes("r1/metrics.jsonl", "\n".join(row.model_dump_json() for row in rows).encode())
    folder.storage.put_folder("r1/checkpoints/epoch-01", _weights(tmp_path), {"epoch": 1})
    return folder


def _weights(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_text("weights")
    return tmp_path / "weights"


def lima_train(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_status_logs_and_list_as_json(run: RunFolder, tmp_path: Path) -> None:
    output = ("--output", str(tmp_path / "runs"), "--json")
    assert json.loads(lima_train("status", "r1", *output))["step"] == 3
    assert [row["step"] for row in json.loads(lima_train("logs", "r1", "--tail", "1", *output))] == [2]
    assert [found["run"] for found in json.loads(lima_train("list", *output))] == ["r1"]


def test_status_for_people(run: RunFolder, tmp_path: Path) -> None:
    shown = lima_train("status", "r1", "--output", str(tmp_path / "runs"))
    assert "3 of 10" in shown
    assert "epoch-01" in shown


def test_cancel_and_select_leave_their_records(run: RunFolder, tmp_path: Path) -> None:
    output = ("--output", str(tmp_path / "runs"), "--json")
    lima_train("cancel", "r1", *output)
    assert run.stop_request() == "cancel"
    chosen = json.loads(lima_train("select", "r1", "--epoch", "1", "--note", "reads best", *output))
    assert (chosen["checkpoint"], chosen["by"], chosen["reason"]) == ("checkpoints/epoch-01", "people", "reads best")
    assert run.read_json("selection.json") == chosen


def test_an_unknown_run_and_a_wrong_setting_are_refused(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="lima train list"):
        lima_train("status", "r2", "--output", str(tmp_path / "runs"))
    (tmp_path / "spec.yaml").write_text("{run: r3, base_model: m, dataset: d, recipe: {epoch: 1}}")
    with pytest.raises(InvalidInput, match=r"recipe\.epoch"):
        lima_train("plan", str(tmp_path / "spec.yaml"))
