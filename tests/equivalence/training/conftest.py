from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.equivalence.training.laboratory import Laboratory, Outcome


@pytest.fixture(scope="package", autouse=True)
def _settings_of_the_runs() -> Iterator[None]:
    """The command runs in this process, reads its environment and sets up logging: put back after this package."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("LIMA_STATE_DIR", "LIMA_LOG_LEVEL"):
            patch.setenv(variable, "")
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="package")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture(scope="package")
def reference(laboratory: Laboratory) -> Outcome:
    """The run that others are compared with: no dropout, a whole step in one forward pass."""
    return laboratory.train("reference", compute={"engine": "bare", "threads": 1, "micro_batch_tokens": 100_000})
