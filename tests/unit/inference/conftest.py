from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.inference.replica.engines.batching import BatchingEngine
from services.inference.replica.engines.reference import ReferenceEngine
from tests.fixtures.tiny_served_model import write_served_model

STOP = frozenset([0])


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_served_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def reference(tiny_folder: Path) -> Iterator[ReferenceEngine]:
    engine = ReferenceEngine(tiny_folder, STOP)
    yield engine
    engine.close()


@pytest.fixture
def engine(tiny_folder: Path) -> Iterator[BatchingEngine]:
    engine = BatchingEngine(tiny_folder, STOP, slots=8, context=512)
    yield engine
    engine.close()
