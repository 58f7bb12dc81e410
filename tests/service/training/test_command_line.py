"""`lima train` against a folder of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli.commands.training import app
from services.shared.errors import InvalidInput, NotFound
from services.shared.records import MetricsRow, RunPhase, RunStatus
from tests.fixtures.tiny_language_model import write_base_model, write_dataset
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


LLAMA_65B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 22016, "num_hidden_layers": 80,
    "num_attention_heads": 64, "vocab_size": 32000, "tie_word_embeddings": False, "max_position_embeddings": 2048,
}  # fmt: skip


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`lima train plan --json` of the paper's run on LLaMA 65B, with changes of its compute."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(LLAMA_65B))
    compute = "{gpus_per_worker: 1, zero_stage: 3, micro_batch_tokens: 2048, activation_checkpointing: true}"
    spec = tmp_path / "paper.yaml"
    spec.write_text(
        f"{{run: paper, base_model: {tmp_path / 'base'}, dataset: d, recipe: {{precision: bf16}}, compute: {compute}}}"
    )

    def plan(*changes: str, memory: str = "80GB") -> dict[str, Any]:
        options = [option for change in changes for option in ("--set", f"compute.{change}")]
        result = CliRunner().invoke(app, ["plan", str(spec), "--device-memory", memory, "--json", *options])
        assert result.exit_code in (0, 1), result.output
        value: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == (0 if value["fits"] else 1)
        return value

    return plan


def test_the_plan_of_the_papers_run(planned: Callable[..., dict[str, Any]]) -> None:
    """The figures on paper for 65B: states, machines, work, traffic, checkpoints, steps."""
    eight = planned("workers=8")
    states = sum(eight["device"][name] for name in ("weights", "gradients", "optimizer")) * 8
    assert states / 2**30 == pytest.approx(971, rel=0.005)
    assert not eight["fits"]
    assert "offload_optimizer = True" in eight["advice"]
    offloaded = planned("workers=8", "offload_optimizer=true")
    assert offloaded["fits"]
    assert offloaded["host_bytes"] * 8 < 1.5e12
    assert planned("workers=16")["device_bytes"] == pytest.approx(75e9, rel=0.07), "tight"
    plain = planned("workers=24")
    assert plain["device_bytes"] < 60e9
    assert (plain["steps"], plain["examples"]) == (480, 1000)
    assert plain["flop"] == pytest.approx(4.4e18, rel=0.01)
    assert plain["gpu_hours"] == pytest.approx(3.1, rel=0.01)
    assert plain["traffic_bytes_per_step"] == pytest.approx(390e9, rel=0.01)
    reduced = planned("workers=24", "hpz_partition_size=8", "quantized_weights=true", "quantized_gradients=true")
    assert plain["traffic_bytes_per_step"] / reduced["traffic_bytes_per_step"] == pytest.approx(4)
    assert plain["checkpoint_bytes"] == pytest.approx(130e9, rel=0.01)
    assert plain["checkpoint_bytes"] + plain["state_bytes"] == pytest.approx(0.9e12, rel=0.02)
    by_stage = [stage["device_bytes"] for stage in plain["stages"].values()]
    assert by_stage == sorted(by_stage, reverse=True)
    assert by_stage[3] == plain["device_bytes"]
    assert plain["activation_bytes"]["2048"] == plain["device"]["activations"]


def test_a_plan_counts_the_dataset_and_tells_its_hours(tmp_path: Path) -> None:
    base = write_base_model(tmp_path / "base")
    dataset = write_dataset(tmp_path / "dataset", train=70)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"run": "r", "base_model": str(base), "dataset": str(dataset)}))
    value = json.loads(lima_train("plan", str(spec), "--json"))
    assert (value["examples"], value["steps"]) == (70, 45)
    assert value["processor_hours"] > 0
    shown = lima_train("plan", str(spec))
    assert "15 epochs of 70" in shown
    assert "ZeRO-3 device" in shown


def test_a_length_past_the_models_context_is_refused(planned: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    longer = ["plan", str(tmp_path / "paper.yaml"), "--set", "recipe.max_length=4096"]
    with pytest.raises(InvalidInput, match="must be at most 2048, the context of the base model"):
        CliRunner().invoke(app, longer, catch_exceptions=False)
