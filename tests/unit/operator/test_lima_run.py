"""`lima run` on a cluster: an experiment's run as a FineTuneJob, followed to its end.

kubectl is a FAKE here; tests/cluster follows a real job with a real one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from services.cli.experiment import cluster
from services.cli.experiment.cluster import ClusterSite, job_manifest
from services.cli.experiment.document import Run
from services.cli.experiment.requests import training_spec
from services.cli.kubectl_commands.cluster import Kubectl
from services.cli.kubectl_commands.platform import reach
from services.operator.finetunejob import parse_job
from services.shared.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.unit.operator.jobs import put_run, run_status

RUN = Run(
    dataset="data",
    base_model="base",
    preset="lima-135m",
    recipe={"epochs": 3, "residual_dropout": {"top": 0.05}},
    compute={"engine": "bare", "micro_batch_tokens": 1024},
)


def spec_of(run: Run, store: ObjectStore, name: str = "tuned-0a1b2c3d") -> Any:
    base, dataset = store.uri("models/tiny/1"), store.uri("datasets/data/0123456789abcdef")
    return training_spec("tuned", run, base_model=base, dataset=dataset).model_copy(update={"run": name})


class FakeKubectl(Kubectl):
    """Answers `get` with one status after the other, and keeps what is created and deleted."""

    def __init__(self, *statuses: dict[str, Any] | None) -> None:
        super().__init__()
        object.__setattr__(self, "statuses", list(statuses))
        object.__setattr__(self, "done", [])

    statuses: list[dict[str, Any] | None]
    done: list[tuple[str, str | None]]

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        if arguments[0] != "get":
            self.done.append((arguments[0], stdin))
            return ""
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            raise NotFound("object", arguments[2])
        return json.dumps({"status": status})


class Stages:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def update(self, stage: str, done: int, total: int, unit: str = "") -> None:
        self.seen.append((stage, done, total))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.0)


def train(kubectl: Kubectl, settings: Settings, store: ObjectStore, stages: Stages | None = None) -> Any:
    site = ClusterSite(kubectl, settings)
    return asyncio.run(site.train(RUN, spec_of(RUN, store), store, stages or Stages()))


def test_the_job_asks_for_what_the_run_does(object_store: ObjectStore) -> None:
    spec = spec_of(RUN, object_store)
    job = parse_job(job_manifest(RUN, spec, object_store))
    assert job.name == "tuned-0a1b2c3d"
    asked = job.training_spec(object_store.bucket)
    ours = {"run", "compute", "output"}
    assert asked.model_dump(exclude=ours) == spec.model_dump(exclude=ours)
    assert asked.compute == spec.compute.model_copy(update={"engine": "ray"})


def test_a_long_name_leaves_room_for_the_operators_hash(object_store: ObjectStore) -> None:
    spec = spec_of(RUN, object_store, name="a-very-long-name-of-a-run-that-goes-on-and-on-0a1b2c3d")
    name = job_manifest(RUN, spec, object_store)["metadata"]["name"]
    assert len(name) <= 38
    assert name.endswith("-0a1b2c3d")


def test_a_name_that_begins_with_a_digit_becomes_one_that_kuberay_takes(object_store: ObjectStore) -> None:
    spec = spec_of(RUN, object_store, name="7b-0a1b2c3d")
    assert job_manifest(RUN, spec, object_store)["metadata"]["name"] == "run-7b-0a1b2c3d"


def test_what_a_job_cannot_say_is_refused(object_store: ObjectStore) -> None:
    run = RUN.model_copy(update={"tracking": {"mlflow": "x"}})
    with pytest.raises(InvalidInput, match="tracking"):
        job_manifest(run, spec_of(RUN, object_store), object_store)


def test_a_job_is_made_and_followed(settings: Settings, object_store: ObjectStore) -> None:
    put_run(object_store, run_status("tuned-0a1b2c3d-ffff", RunPhase.SUCCEEDED, step=4, total_steps=4))
    running = {"phase": "Running", "step": 2, "totalSteps": 4, "epoch": 1, "totalEpochs": 3, "loss": "1.2"}
    waits = {"phase": "Pending", "conditions": [{"type": "Accepted", "message": "no dataset yet"}]}
    kubectl = FakeKubectl(None, {}, waits, running, {"phase": "Succeeded", "run": "tuned-0a1b2c3d-ffff"})
    stages = Stages()
    assert train(kubectl, settings, object_store, stages).phase is RunPhase.SUCCEEDED
    assert stages.seen == [
        ("waiting for the operator", 0, 0), ("no dataset yet", 0, 0), ("epoch 1/3, loss 1.2", 2, 4)
    ]  # fmt: skip
    ((verb, made),) = kubectl.done
    assert verb == "create"
    assert parse_job(json.loads(made or "")).name == "tuned-0a1b2c3d"


def test_a_job_that_is_there_is_found_and_one_that_failed_is_made_anew(
    settings: Settings, object_store: ObjectStore
) -> None:
    put_run(object_store, run_status("r", RunPhase.SUCCEEDED))
    done = {"phase": "Succeeded", "run": "r"}
    again = FakeKubectl(done)
    train(again, settings, object_store)
    assert again.done == []
    anew = FakeKubectl({"phase": "Failed"}, done)
    train(anew, settings, object_store)
    assert [verb for verb, _ in anew.done] == ["delete", "create"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"phase": "Refused", "conditions": [{"message": "a worker needs 114.4 GB"}]}, "refused: a worker needs 114.4"),
        ({"phase": "Failed", "conditions": [{"message": "loss is not a number"}]}, "failed: loss is not a number"),
        ({"phase": "Suspended"}, "is suspended"),
    ],
)
def test_a_job_that_ends_otherwise_says_why(
    settings: Settings, object_store: ObjectStore, status: dict[str, Any], told: str
) -> None:
    with pytest.raises(FailedPrecondition, match=told):
        train(FakeKubectl(None, status), settings, object_store)


def test_without_an_operator_nobody_waits_for_ever(
    settings: Settings, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "OPERATOR_SECONDS", 0.0)
    with pytest.raises(FailedPrecondition, match="nobody looked at FineTuneJob tuned-0a1b2c3d"):
        train(FakeKubectl(None, {}), settings, object_store)


DEPLOYMENT = {
    "metadata": {"name": "house-curation"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "env": [
                            {"name": "LIMA_LOG_LEVEL", "value": "info"},
                            {"name": "LIMA_TOKEN", "valueFrom": {"secretKeyRef": {"name": "house-auth", "key": "t"}}},
                            {"name": "LIMA_OBJECT_STORE_ENDPOINT", "value": "http://house-store:9000"},
                            {"name": "LIMA_OBJECT_STORE_BUCKET", "value": "bucket"},
                        ]
                    }
                ]
            }
        }
    },
}


@pytest.fixture
def fake_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that knows one platform and forwards nothing, but says that it does."""
    program = tmp_path / "fake-kubectl"
    answers = {
        "deployments": {"items": [DEPLOYMENT]},
        "secret": {"data": {"t": base64.b64encode(b"token-of-the-house").decode()}},
    }
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys, time\n"
        "words = [word for word in sys.argv[1:] if not word.startswith('--')]\n"
        f"log = pathlib.Path({str(tmp_path)!r})\n"
        "if words[0] == 'get':\n"
        f"    print({ {key: json.dumps(value) for key, value in answers.items()}!r}[words[1]])\n"
        "elif words[1] == 'service/house-judging' and (log / 'broken').exists():\n"
        "    sys.exit('error: no pod is ready')\n"
        "else:\n"
        "    port = int(words[2][1:]) % 1000 + 20000\n"
        "    print(f'Forwarding from 127.0.0.1:{port} -> 1', flush=True)\n"
        "    time.sleep(60)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("LIMA_KUBECTL", str(program))
    return tmp_path


@pytest.mark.usefixtures("fake_platform")
def test_the_platform_is_reached_with_its_own_keys() -> None:
    with reach(Kubectl("ml", "lab")) as settings:
        assert settings.token
        assert settings.token.get_secret_value() == "token-of-the-house"
        assert settings.object_store_bucket == "bucket"
        assert settings.object_store_endpoint == "http://127.0.0.1:20000"
        assert settings.curation_address == "127.0.0.1:20051"
        assert settings.judging_address == "127.0.0.1:20053"


def test_a_service_that_is_not_there_is_named(fake_platform: Path) -> None:
    (fake_platform / "broken").touch()
    with pytest.raises(Unavailable, match=r"house-judging cannot be reached: .*no pod is ready"), reach(Kubectl()):
        pass
