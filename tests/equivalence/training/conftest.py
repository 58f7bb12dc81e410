from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.equivalence.training.laboratory import Laboratory, Outcome


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with pytest.MonkeyPatch.context() as patch:
        # Put back after the session: the command runs in this process and reads its settings from the environment.
        for variable in ("LIMA_STATE_DIR", "LIMA_LOG_LEVEL"):
            patch.setenv(variable, "")
        yield Laboratory(tmp_path_factory.mktemp("laboratory"))


@pytest.fixture(scope="session")
def reference(laboratory: Laboratory) -> Outcome:
    """The run that others are compared with: no dropout, a whole step in one forward pass."""
    return laboratory.train("reference", compute={"engine": "bare", "threads": 1, "micro_batch_tokens": 100_000})
