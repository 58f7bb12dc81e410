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
from tests.fixtures.ports import free_port
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


def run_batch(file: str, spec: Path, address: str) -> subprocess.CompletedProcess[str]:
    """A CronJob's arguments and variables, as they stand, but for the places of this machine."""
    (cron,) = load_all((ROOT / "k8s/batch" / file).read_text())
    ((_, container, _),) = containers(cron)
    given = {v["name"]: v.get("value", TOKEN) for v in container["env"]}
    here = {"LIMA_STATE_DIR": str(spec.parent), **{name: address for name in given if name.endswith("_ADDRESS")}}
    arguments = [argument.replace("/spec/spec.yaml", str(spec)) for argument in container["args"]]
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **given, **here})


def test_the_batch_job_that_curates_reaches_curation(curation: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    done = run_batch("curate.yaml", spec, curation)
    assert done.returncode == 3, done.stderr
    assert "not-in-the-store" in done.stderr, "curation looked for the corpus"


def test_the_batch_job_that_judges_asks_judging(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    done = run_batch("judge.yaml", tmp_path / "spec.yaml", nobody)
    assert done.returncode == 4, done.stderr
    assert nobody in done.stderr, "its command line was taken, and judging was dialled"
