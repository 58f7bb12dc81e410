"""What runs in the cluster as a client, with the manifests' own arguments, against a real curation service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.settings import Settings
from tests.chart.curation import serving_curation
from tests.chart.rules import containers
from tests.chart.schemas import load_all
from tests.chart.tools import ROOT
from tests.cluster.control_plane import free_port
from tests.fixtures.seaweedfs import S3Server

SCRIPT = ROOT / "images" / "verify.py"
TOKEN = "token-of-the-chart"


@pytest.fixture(scope="module")
def curation(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(
        object_store_endpoint=s3_server.endpoint,
        object_store_access_key=s3_server.access_key,
        object_store_secret_key=s3_server.secret_key,
        object_store_bucket="chart-verify",
    )
    with serving_curation(settings, tmp_path_factory.mktemp("curation"), TOKEN) as address:
        # Up before any test begins: what fails then fails for its own reason.
        assert verify(f"--curation={address}").returncode == 0
        yield address


def verify(*arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIMA_TOKEN": token, "PYTHONPATH": str(ROOT / "protos")}
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment)


def test_a_platform_that_is_well_is_told_from_one_that_is_not(curation: str) -> None:
    done = verify(f"--grpc={curation}", f"--curation={curation}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"ok   health {curation}: SERVING", f"ok   ListDatasets {curation}: 0 datasets"]
    done = verify(f"--http=http://127.0.0.1:{free_port()}", f"--curation={curation}", "--patience=1", token="wrong")
    assert done.returncode == 1
    assert "FAIL health" in done.stderr
    assert "UNAUTHENTICATED" in done.stderr


SPEC = """
name: nightly
sources:
  - {name: answers, corpus: not-in-the-store, stack_exchange: {group: stem}, quota: {train: 5}}
"""


def test_the_batch_jobs_own_command_reaches_curation(curation: str, tmp_path: Path) -> None:
    """The CronJob's arguments and variables, as they stand, but for the addresses of this machine."""
    (cron,) = load_all((ROOT / "k8s/batch/curate.yaml").read_text())
    ((_, container, _),) = containers(cron)
    (tmp_path / "spec.yaml").write_text(SPEC)
    here = {"/spec": str(tmp_path), "/var/lib/lima": str(tmp_path), "lima-curation-headless:50051": curation}
    variables = {v["name"]: here.get(v.get("value"), TOKEN) for v in container["env"]}
    arguments = [argument.replace("/spec/", f"{tmp_path}/") for argument in container["args"]]
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **variables})
    assert done.returncode == 3, done.stderr
    assert "not-in-the-store" in done.stderr, "curation looked for the corpus"
