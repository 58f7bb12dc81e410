"""What `helm test` and `skaffold verify` run, against a real curation service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.settings import Settings
from tests.chart.curation import serving_curation
from tests.chart.tools import ROOT
from tests.cluster.control_plane import free_port

SCRIPT = ROOT / "images" / "verify.py"
TOKEN = "token-of-the-chart"


@pytest.fixture
def curation(settings: Settings, tmp_path: Path) -> Iterator[str]:
    with serving_curation(settings, tmp_path, TOKEN) as address:
        yield address


def verify(*arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIMA_TOKEN": token, "PYTHONPATH": str(ROOT / "protos")}
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment)


def test_a_platform_that_is_well_is_told_from_one_that_is_not(curation: str) -> None:
    done = verify(f"--grpc={curation}", f"--curation={curation}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"ok   health {curation}: SERVING", f"ok   ListDatasets {curation}: 0 datasets"]
    # The service is up by now: a wrong token and a console that is not there fail without patience.
    done = verify(f"--http=http://127.0.0.1:{free_port()}", f"--curation={curation}", "--patience=1", token="wrong")
    assert done.returncode == 1
    assert "FAIL health" in done.stderr
    assert "UNAUTHENTICATED" in done.stderr
