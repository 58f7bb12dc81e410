"""The curation service as the chart starts it, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.shared.settings import Settings
from tests.chart.tools import ROOT
from tests.fixtures.ports import free_port


@contextmanager
def serving_curation(settings: Settings, folder: Path, token: str) -> Iterator[str]:
    """The program of the image, with the settings that the chart gives it; yields its address."""
    port = free_port()
    environment = {
        **os.environ,
        "LIMA_STATE_DIR": str(folder),
        "LIMA_PORT": str(port),
        "LIMA_TOKEN": token,
        "LIMA_OBJECT_STORE_ENDPOINT": settings.object_store_endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": settings.object_store_access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": settings.object_store_secret_key.get_secret_value(),
        "LIMA_OBJECT_STORE_BUCKET": settings.object_store_bucket,
    }
    process = subprocess.Popen([sys.executable, "-m", "services.curation"], cwd=ROOT, env=environment)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
