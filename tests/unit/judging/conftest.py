"""The folder of real data, for the tests that reproduce published numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("LIMA_REAL_DATA") or REPOSITORY / "../shared/data").resolve()
    if not (folder / "pandalm").is_dir():
        pytest.skip(f"the real data is not at {folder}: set LIMA_REAL_DATA to its folder")
    return folder
