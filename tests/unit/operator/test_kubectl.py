"""kubectl-lima: manifests from flags by the real program, and what it asks of kubectl.

The kubectl here is a FAKE: a script that records its arguments. tests/cluster uses a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

FLAGS = ["--model", "models/llama-7b/1", "--dataset", "lima@0123456789ab"]


@pytest.fixture
def fake_kubectl(tmp_path: Path) -> Path:
    """A program that writes down how it was called and answers with a file's content."""
    program = tmp_path / "fake-kubectl"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "stdin = '' if sys.stdin.isatty() else sys.stdin.read()\n"
        "with (here / 'calls').open('a') as calls:\n"
        "    calls.write(json.dumps([sys.argv[1:], stdin]) + '\\n')\n"
        "if 'pods' in sys.argv and (here / 'no-pods').exists():\n"
        "    (here / 'no-pods').unlink()\n"
        "    sys.exit()\n"
        "answer = here / 'answer'\n"
        "print(answer.read_text() if answer.exists() else 'done')\n"
        "refusal = here / 'refusal'\n"
        "if refusal.exists():\n"
        "    sys.exit(refusal.read_text())\n"
    )
    program.chmod(0o755)
    return program


def lima(*arguments: str, kubectl: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIMA_KUBECTL": str(kubectl or "no-such-kubectl"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "services.cli.kubectl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, input=stdin)


def calls(kubectl: Path) -> list[Any]:
    return [json.loads(line) for line in kubectl.with_name("calls").read_text().splitlines()]


@pytest.mark.parametrize(("output", "load"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_a_dry_run_prints_the_job_and_asks_no_cluster(output: str, load: Any) -> None:
    more = ["--workers", "8", "--gpus-per-worker", "1", "--set", "recipe.epochs=3", "--set", "recipe.lora={rank: 8}"]
    done = lima("train", "try", *FLAGS, *more, "--dry-run=client", "-o", output)
    assert done.returncode == 0, done.stderr
    assert load(done.stdout) == {
        "apiVersion": "lima.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "try"},
        "spec": {
            "baseModel": "models/llama-7b/1",
            "dataset": {"name": "lima", "digest": "0123456789ab"},
            "compute": {"workers": 8, "gpusPerWorker": 1},
            "recipe": {"epochs": 3, "lora": {"rank": 8}},
        },
    }


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--set", "recipe.epochs=0"], "spec.recipe.epochs"),
        (["--set", "recipe.epoch=1"], "spec.recipe.epoch"),
        (["--set", "recipe"], "must read like recipe.epochs=3"),
        (["--set", "preset.x=1", "--preset", "lima-7b"], "preset is a value"),
        (["--dataset", "lima"], "NAME@DIGEST"),
        (["--model", "/etc/passwd"], "spec.baseModel"),
        (["--workers", "3", "--workers-per-pod", "2"], "must divide compute.workers"),
    ],
)
def test_a_wrong_flag_is_told_by_its_field(flags: list[str], told: str) -> None:
    done = lima("train", "try", *FLAGS, *flags, "--dry-run=client")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_persons_own_flags_go_to_kubectl(fake_kubectl: Path) -> None:
    done = lima("cancel", "try", "-n", "ml", "--context", "lab", "--kubeconfig", "/k", kubectl=fake_kubectl)
    assert done.returncode == 0, done.stderr
    ((arguments, _),) = calls(fake_kubectl)
    assert arguments[:3] == ["--namespace=ml", "--context=lab", "--kubeconfig=/k"]
    assert arguments[3:6] == ["patch", "finetunejobs.lima.dev", "try"]
    assert json.loads(arguments[-1].partition("=")[2]) == {"spec": {"suspend": True}}


def test_a_job_is_shown_as_asked_after_it_changed(fake_kubectl: Path) -> None:
    assert lima("resume", "try", "-o", "name", kubectl=fake_kubectl).returncode == 0
    ((arguments, _),) = calls(fake_kubectl)
    assert arguments[:4] == ["patch", "finetunejobs.lima.dev", "try", "--output=name"]


def test_train_creates_what_the_dry_run_shows(fake_kubectl: Path) -> None:
    assert lima("train", "try", *FLAGS, kubectl=fake_kubectl).returncode == 0
    shown = lima("train", "try", *FLAGS, "--dry-run=client", "-o", "json")
    ((arguments, stdin),) = calls(fake_kubectl)
    assert arguments == ["create", "-f", "-"]
    assert json.loads(stdin) == json.loads(shown.stdout)


def test_the_namespace_that_was_asked_for_goes_where_the_manifest_is_piped() -> None:
    shown = lima("train", "try", *FLAGS, "-n", "ml", "--dry-run=client")
    assert yaml.safe_load(shown.stdout)["metadata"] == {"name": "try", "namespace": "ml"}


def operator_json() -> str:
    from tests.unit.operator.jobs import config

    return config().model_dump_json(by_alias=True)


def test_the_plain_ray_job_is_rendered_with_the_facts_of_the_named_platform(fake_kubectl: Path) -> None:
    held = {"items": [{"data": {"operator.json": operator_json()}}]}
    fake_kubectl.with_name("answer").write_text(json.dumps(held))
    job = lima("train", "try", *FLAGS, "--dry-run=client").stdout
    done = lima("render", "-n", "ml", kubectl=fake_kubectl, stdin=job)
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(done.stdout)
    assert (made["kind"], made["metadata"]["namespace"]) == ("RayJob", "ml")
    ((arguments, _),) = calls(fake_kubectl)
    assert arguments[:3] == ["--namespace=ml", "get", "configmaps"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["-f", "no-such-file.yaml", "--config", "x"], "", "cannot be read (No such file"),
        (["--config", "x"], "a: [", "must be one YAML or JSON document"),
        (["--config", "x"], "[]", "must be a lima.dev/v1alpha1 FineTuneJob"),
        (["--config", "no-such-file.json"], "{apiVersion: v1, kind: Pod}", "must be one lima.dev/v1alpha1 FineTuneJob"),
    ],
)
def test_what_cannot_be_rendered_is_told(arguments: list[str], stdin: str, told: str) -> None:
    done = lima("render", *arguments, stdin=stdin)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_namespace_without_a_platform_renders_nothing(fake_kubectl: Path) -> None:
    fake_kubectl.with_name("answer").write_text(json.dumps({"items": []}))
    done = lima("render", kubectl=fake_kubectl, stdin="{}")
    assert done.returncode == 5
    assert "0 operators in this namespace" in done.stderr


def test_a_cluster_that_cannot_be_reached_is_told_without_the_clients_log(fake_kubectl: Path) -> None:
    noise = 'E1122 17:45:00.083916    6956 memcache.go:265] "Unhandled Error"\n'
    words = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
    fake_kubectl.with_name("refusal").write_text(noise + words)
    done = lima("status", "try", kubectl=fake_kubectl)
    assert done.returncode == 4
    assert words in done.stderr
    assert "memcache" not in done.stderr


SUBMITTERS = "--selector=lima.dev/finetunejob=try,batch.kubernetes.io/job-name"


def test_logs_are_those_of_the_submitter_of_a_job_that_exists(fake_kubectl: Path) -> None:
    assert lima("logs", "try", kubectl=fake_kubectl).returncode == 0
    (asked, _), (printed, _) = calls(fake_kubectl)
    assert asked[:3] == ["get", "finetunejobs.lima.dev", "try"]
    assert printed == ["logs", SUBMITTERS, "--container=ray-job-submitter", "--tail=-1"]


def test_following_waits_for_a_pod_that_has_a_log_and_says_for_what(fake_kubectl: Path) -> None:
    fake_kubectl.with_name("no-pods").touch()
    condition = {"type": "Accepted", "status": "False", "message": "there is no dataset"}
    fake_kubectl.with_name("answer").write_text(json.dumps({"status": {"conditions": [condition]}}))
    done = lima("logs", "try", "-f", kubectl=fake_kubectl)
    assert done.returncode == 0
    assert "try: there is no dataset" in done.stderr
    asked = [arguments[:2] for arguments, _ in calls(fake_kubectl)]
    assert asked == [
        ["get", "finetunejobs.lima.dev"], ["get", "pods"], ["get", "finetunejobs.lima.dev"], ["get", "pods"],
        ["logs", SUBMITTERS],
    ]  # fmt: skip
    assert calls(fake_kubectl)[-1][0][-1] == "--follow"


def test_following_a_job_that_ended_without_a_pod_ends_too(fake_kubectl: Path) -> None:
    fake_kubectl.with_name("no-pods").touch()
    fake_kubectl.with_name("answer").write_text(json.dumps({"status": {"phase": "Refused"}}))
    assert lima("logs", "try", "-f", kubectl=fake_kubectl).returncode == 0
    assert [arguments[0] for arguments, _ in calls(fake_kubectl)] == ["get", "get", "get", "logs"]


def test_a_job_that_is_not_there_is_told_so(fake_kubectl: Path) -> None:
    fake_kubectl.with_name("refusal").write_text('Error from server (NotFound): finetunejobs.lima.dev "try" not found')
    done = lima("logs", "try", kubectl=fake_kubectl)
    assert done.returncode == 3
    assert "'try'" in done.stderr
    assert "kubectl get ftj" in done.stderr


def test_a_cluster_without_the_kind_is_told_so(fake_kubectl: Path) -> None:
    fake_kubectl.with_name("refusal").write_text('error: the server doesn\'t have a resource type "finetunejobs"')
    done = lima("status", "try", kubectl=fake_kubectl)
    assert done.returncode == 5
    assert "install the chart" in done.stderr


def test_without_kubectl_the_remedy_is_told() -> None:
    done = lima("cancel", "try")
    assert done.returncode == 5
    assert "install kubectl" in done.stderr


def test_status_shows_why(fake_kubectl: Path) -> None:
    condition = {"type": "Accepted", "status": "False", "reason": "DoesNotFit", "message": "needs 91 GB"}
    fake_kubectl.with_name("answer").write_text(json.dumps({"status": {"phase": "Refused", "conditions": [condition]}}))
    done = lima("status", "try", kubectl=fake_kubectl)
    assert "Refused" in done.stdout
    assert "needs 91 GB" in done.stdout


@pytest.mark.parametrize("command", ["train", "status", "logs", "cancel", "resume", "render"])
def test_help_begins_with_examples(command: str) -> None:
    shown = lima(command, "--help").stdout
    assert 0 < shown.index("Examples:") < shown.index("Options:")
