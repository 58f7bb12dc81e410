"""An operator against the fake Kubernetes API and a real object store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry

from services.operator import app, informer
from services.operator.app import Operator
from services.operator.cluster import Client, Cluster
from services.shared.objects import ObjectStore
from tests.unit.operator.fake_kubernetes import FakeKubernetes, serving
from tests.unit.operator.jobs import config, put_inputs

PATIENCE_SECONDS = 20.0


@pytest.fixture
def fake() -> FakeKubernetes:
    return FakeKubernetes()


@pytest.fixture
def url(fake: FakeKubernetes) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def cluster(url: str) -> Cluster:
    return connect(url)


def connect(url: str) -> Cluster:
    settings = client.Configuration(host=url)
    settings.retries = False
    return Cluster(Client(settings), "lima")


@pytest.fixture
def start(url: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Operator]]:
    """Starts operators, as many as a test asks for, and stops them all at its end."""
    put_inputs(object_store)
    monkeypatch.setattr(app, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(informer, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(informer, "LONGEST_PAUSE_SECONDS", 0.2)
    with _operators(url, object_store) as begin:
        yield begin


@contextmanager
def _operators(url: str, store: ObjectStore) -> Iterator[Callable[..., Operator]]:
    running: list[tuple[Operator, threading.Thread]] = []

    def begin(holder: str = "operator-0", **changes: Any) -> Operator:
        operator = Operator(connect(url), store, config(**changes), holder, CollectorRegistry())
        thread = threading.Thread(target=operator.run, daemon=True)
        thread.start()
        running.append((operator, thread))
        return operator

    yield begin
    for operator, _ in running:
        operator.stop()
    for _, thread in running:
        thread.join(timeout=10)


def eventually(check: Callable[[], Any]) -> Any:
    """The first true answer of `check`; fails the test after a generous while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = check()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"still {check()!r} after {PATIENCE_SECONDS} s")
