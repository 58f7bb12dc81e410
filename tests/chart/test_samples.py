"""The samples under k8s/ are jobs that this version takes, fits and renders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.operator.config import OperatorConfig
from services.operator.finetunejob import parse_job
from services.operator.rayjob import ray_job
from tests.chart.render import of_kind, rendered
from tests.chart.schemas import load_all
from tests.chart.tools import ROOT
from training_jobs import memory_plan

SAMPLES = ROOT / "k8s" / "samples"
SEVEN_BILLION = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip


def operator_config(variant: str) -> OperatorConfig:
    return OperatorConfig.model_validate_json(config_text(variant))


def config_text(variant: str) -> str:
    (held,) = [m for m in of_kind(rendered(variant), "ConfigMap") if m["metadata"]["name"] == "lima-operator"]
    text: str = held["data"]["operator.json"]
    return text


def sample(name: str) -> dict[str, Any]:
    (manifest,) = load_all((SAMPLES / name).read_text())
    return manifest


@pytest.mark.parametrize("name", ["finetune-lima-7b.yaml", "finetune-small.yaml"])
def test_a_sample_is_a_run_that_can_be(name: str) -> None:
    parse_job(sample(name)).training_spec("lima")


def test_the_7b_sample_fits_the_gpus_of_the_gpu_values() -> None:
    config = operator_config("gpu")
    job = parse_job(sample("finetune-lima-7b.yaml"))
    assert config.gpu_bytes
    plan = memory_plan.plan(job.training_spec("lima"), SEVEN_BILLION)
    assert plan.fits(config.gpu_bytes), "\n".join(plan.arithmetic)


def test_the_plain_ray_job_is_what_the_operator_would_submit() -> None:
    job = parse_job(sample("finetune-lima-7b.yaml"))
    made = ray_job(job, job.training_spec("lima"), operator_config("gpu"))
    assert sample("rayjob-lima-7b.yaml") == json.loads(json.dumps(made)), "make it again: its first lines say how"


def test_the_renderer_prints_it_from_a_file(tmp_path: Path) -> None:
    config = tmp_path / "operator.json"
    config.write_text(config_text("gpu"))
    command = [sys.executable, "-m", "services.operator.render", "--config", str(config)]
    with (SAMPLES / "finetune-lima-7b.yaml").open() as job:
        done = subprocess.run(command, stdin=job, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout) == sample("rayjob-lima-7b.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: Pod", "must be one lima.dev/v1alpha1 FineTuneJob"),
        ("{", "must be YAML or JSON"),
        ("[]", "must be one lima.dev/v1alpha1 FineTuneJob"),
        ("{apiVersion: lima.dev/v1alpha1, kind: FineTuneJob, metadata: {name: a.b}}", "metadata.name"),
        ("{apiVersion: lima.dev/v1alpha1, kind: FineTuneJob, metadata: {name: 7b}}", "begin with a letter"),
        ("{apiVersion: lima.dev/v1alpha1, kind: FineTuneJob, metadata: {name: a}, spec: {}}", "spec.baseModel"),
    ],
)
def test_the_renderer_refuses_what_is_no_job(text: str, told: str) -> None:
    command = [sys.executable, "-m", "services.operator.render", "--check"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
