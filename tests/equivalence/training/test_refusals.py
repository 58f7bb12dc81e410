"""Bad inputs through the public command: one clear message, exit code 1, the reason in the run's status."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.equivalence.training.laboratory import REPOSITORY, Laboratory, Outcome, assert_same
from tests.fixtures.tiny_language_model import write_dataset
from training_jobs.__main__ import main
from training_jobs.run_folder import RunFolder


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


def test_an_empty_dataset(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path)
    (tmp_path / "train.jsonl").write_text("\n")
    assert "must hold at least one example" in refused(
        laboratory, capsys, laboratory.spec("empty", dataset=str(tmp_path))
    )


def test_a_limit_past_the_context(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(laboratory, capsys, laboratory.spec("long", {"max_length": 4096}))
    assert "recipe.max_length = 4096: must be at most 2048" in error


def test_an_incomplete_model(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    (base / "model.safetensors").unlink()
    error = refused(laboratory, capsys, laboratory.spec("incomplete", base_model=str(base)))
    assert "is incomplete: model.safetensors is missing" in error


def test_a_damaged_model(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:5000])
    error = refused(laboratory, capsys, laboratory.spec("damaged", base_model=str(base)))
    assert "model.safetensors is damaged" in error
    assert "remedy: download it again" in error


def test_a_gpu_that_is_not_there(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    spec = laboratory.spec("no-gpu", compute={"engine": "bare", "gpus_per_worker": 1})
    assert "compute.gpus_per_worker = 1, and torch finds no GPU here" in refused(laboratory, capsys, spec)


def test_a_place_that_cannot_be_written_to(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    spec = laboratory.spec("nowhere", output=str(laboratory.base / "config.json"))
    assert "cannot be written to" in refused(laboratory, capsys, spec)


def test_what_nobody_foresaw_is_in_the_status(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a bug")

    monkeypatch.setattr("training_jobs.worker.load_model", broken)
    os.environ.update(laboratory.environment)
    with pytest.raises(ZeroDivisionError):
        main(["run", "--spec", str(laboratory.spec("unforeseen"))])
    status = json.loads((laboratory.run_folder("unforeseen") / "status.json").read_text())
    assert status["phase"] == RunPhase.FAILED
    assert status["message"] == "ZeroDivisionError: of a bug"


def test_a_model_that_wants_to_run_code(
    laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    assert "wants to run code of its own" in refused(laboratory, capsys, laboratory.spec("code", base_model=str(base)))


def test_a_tokenizer_with_nothing_to_pad_with(
    laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    bare = {key: value for key, value in config.items() if key not in ("bos_token", "eos_token", "pad_token")}
    (base / "tokenizer_config.json").write_text(json.dumps(bare))
    assert "has no token to pad with" in refused(laboratory, capsys, laboratory.spec("padless", base_model=str(base)))


def test_a_tokenizer_without_padding_gets_a_pad_token_that_is_not_eot(
    laboratory: Laboratory, reference: Outcome
) -> None:
    assert AutoTokenizer.from_pretrained(laboratory.base).pad_token is None
    folder = laboratory.run_folder("reference") / reference.status.last_checkpoint
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token not in (None, tokenizer.eos_token)


def test_a_loss_that_is_not_a_number(
    laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(laboratory.base, tmp_path / "base")
    weights = load_file(base / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = float("nan")
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    error = refused(laboratory, capsys, laboratory.spec("nan", base_model=str(base)))
    assert "training diverged at step 1: the loss is nan" in error
    assert "on examples train-" in error
    assert not (laboratory.run_folder("nan") / "checkpoints").exists()


LIMITED = """
import re, resource, sys
from pathlib import Path
from training_jobs import __main__, worker
held = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (held + (400 << 20), held + (400 << 20)))
sys.exit(__main__.main(["run", "--spec", sys.argv[1]]))
"""


def test_running_out_of_memory_says_which_setting_to_change(laboratory: Laboratory, tmp_path: Path) -> None:
    """A process that the system lets have 400 MiB more, and a forward pass of some 80,000 tokens."""
    turns = [{"role": "user", "content": "tea"}, {"role": "assistant", "content": "cup " * 1900}]
    lines = [example(id=f"e{number}", messages=turns) for number in range(32)]
    dataset = write_dataset(tmp_path, lines=lines, dev=0)
    compute = {"engine": "bare", "threads": 1, "micro_batch_tokens": 100_000}
    spec = laboratory.spec("too-large", {"batch_size": 32}, dataset=str(dataset), compute=compute)
    environment = os.environ | laboratory.environment
    command = [sys.executable, "-c", LIMITED, str(spec)]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr[-2000:]
    assert "out of memory in a forward pass of at most 100000 tokens" in ended.stderr
    assert "lower compute.micro_batch_tokens" in ended.stderr


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


def test_two_runs_with_one_name_at_once(laboratory: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    spec = laboratory.spec("twice", {"epochs": 1})
    with RunFolder.open("twice", str(laboratory.folder / "runs"), Settings()).lease():
        assert f"'twice' is being computed by process {os.getpid()}" in refused(laboratory, capsys, spec)
    assert main(["run", "--spec", str(spec)]) == 0


def test_what_cannot_fit(
    laboratory: Laboratory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_jobs.planning.host_memory", lambda: 10e6)
    assert "are there" in refused(laboratory, capsys, laboratory.spec("large"))


def test_a_malformed_spec(laboratory: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.yaml").write_text("run: [")
    assert "must be YAML or JSON" in refused(laboratory, capsys, tmp_path / "spec.yaml")


def test_a_disk_that_fills_up_in_the_middle_of_an_upload(
    laboratory: Laboratory,
    reference: Outcome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    small_disk: Path,
) -> None:
    """The run stops and leaves nothing half-written; with more room the same command ends as if nothing had been."""
    monkeypatch.setattr("training_jobs.store_sync.RETRY_SECONDS", 0.0)
    compute = {"engine": "bare", "threads": 1, "micro_batch_tokens": 100_000}
    spec = laboratory.spec("full", output=str(small_disk), compute=compute)
    error = refused(laboratory, capsys, spec)
    assert "could not be written" in error
    assert "No space left on device" in error
    assert "start the same run again" in error
    folders = [path for kind in ("checkpoints", "state") for path in (small_disk / "full" / kind).glob("*")]
    assert all((path / "manifest.json").is_file() for path in folders), "whole or absent"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert main(["run", "--spec", str(spec)]) == 0
    (laboratory.folder / "runs" / "full").symlink_to(small_disk / "full")
    assert_same(laboratory.outcome("full"), reference, losses=1e-6, weights=1e-6)
