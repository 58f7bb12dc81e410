"""Runs of the public command on a tiny model, and what they left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from services.shared.records import MetricsRow, RunStatus
from tests.fixtures.tiny_language_model import write_base_model, write_dataset
from training_jobs.__main__ import main

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True)
class Outcome:
    status: RunStatus
    rows: list[MetricsRow]
    weights: dict[str, torch.Tensor]

    def losses(self, kind: str = "step") -> list[float]:
        return [row.loss for row in self.rows if row.kind == kind]


class Laboratory:
    """A base model, a dataset and a place for runs, all below one folder."""

    def __init__(self, folder: Path, *, train: int = 40, tied: bool = True) -> None:
        self.folder = folder
        self.base = write_base_model(folder / "base", tied=tied)
        self.dataset = write_dataset(folder / "dataset", train=train)
        self.environment = {"LIMA_STATE_DIR": str(folder / "state"), "LIMA_LOG_LEVEL": "error"}

    def spec(self, run: str, recipe: dict[str, Any] | None = None, **sections: Any) -> Path:
        """A spec file; learning is fast enough for a wrong gradient to show."""
        defaults = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "final_learning_rate": 1e-4}
        dropout = {"residual_dropout": {"top": 0.0}}
        spec = {
            "run": run,
            "base_model": str(self.base),
            "dataset": str(self.dataset),
            "output": str(self.folder / "runs"),
            "preset": "lima-65b",
            "recipe": {**defaults, **dropout, **(recipe or {})},
            "compute": {"engine": "bare", "threads": 1},
            # Its process takes longer to start than these runs take; the run that learns by heart has one.
            "evaluation": {"stop_check": 0},
        } | sections
        path = self.folder / f"{run}.json"
        path.write_text(json.dumps(spec))
        return path

    def train(self, run: str, recipe: dict[str, Any] | None = None, **sections: Any) -> Outcome:
        """Run the command in this process and read what it left."""
        os.environ.update(self.environment)
        assert main(["run", "--spec", str(self.spec(run, recipe, **sections))]) == 0
        return self.outcome(run)

    def start(self, spec: Path) -> subprocess.Popen[bytes]:
        """Run the command in a process of its own."""
        return self._started(["training_jobs"], spec)

    def start_held(self, spec: Path, *, after: int) -> subprocess.Popen[bytes]:
        """The same, without Ray: after so many steps it takes no further one until it is asked to stop."""
        return self._started(["tests.equivalence.training.held_run", str(after)], spec)

    def _started(self, program: list[str], spec: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *program, "run", "--spec", str(spec)]
        return subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | self.environment, stdout=subprocess.DEVNULL)

    def run_folder(self, run: str) -> Path:
        return self.folder / "runs" / run

    def outcome(self, run: str) -> Outcome:
        folder = self.run_folder(run)
        status = RunStatus.model_validate_json((folder / "status.json").read_text())
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        weights = load_file(folder / status.last_checkpoint / "model.safetensors")
        return Outcome(status, [MetricsRow.model_validate_json(line) for line in lines], weights)


def assert_same(ours: Outcome, reference: Outcome, *, losses: float, weights: float) -> None:
    """Losses of every step and evaluation within a relative, final weights within an absolute tolerance."""
    for kind in ("step", "evaluation"):
        torch.testing.assert_close(
            torch.tensor(ours.losses(kind)), torch.tensor(reference.losses(kind)), rtol=losses, atol=0
        )
    assert ours.weights.keys() == reference.weights.keys()
    for name, weight in reference.weights.items():
        torch.testing.assert_close(ours.weights[name], weight, rtol=0, atol=weights, msg=partial(_named, name))


def _named(name: str, text: str) -> str:
    return f"{name}: {text}"
