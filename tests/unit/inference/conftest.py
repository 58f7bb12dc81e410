from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.inference.replica.engines.batching import BatchingEngine
from services.inference.replica.engines.choice import EngineOptions, open_engine
from services.inference.replica.engines.reference import ReferenceEngine
from tests.fixtures.tiny_served_model import write_served_model

STOP = frozenset([0])
# Both run the same batching around a forward pass of their own.
BATCHING = ("openvino", "torch")


def batching(name: str, folder: Path, slots: int, stop_ids: frozenset[int] = STOP) -> BatchingEngine:
    engine = open_engine(folder, stop_ids, EngineOptions(name, slots=slots, context=512))
    assert isinstance(engine, BatchingEngine)
    return engine


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_served_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def reference(tiny_folder: Path) -> Iterator[ReferenceEngine]:
    engine = ReferenceEngine(tiny_folder, STOP)
    yield engine
    engine.close()


@pytest.fixture(params=BATCHING)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(tiny_folder: Path, engine_name: str) -> Iterator[BatchingEngine]:
    engine = batching(engine_name, tiny_folder, slots=8)
    yield engine
    engine.close()
