"""The chart's own command line of SeaweedFS, run for real: it serves S3, and its probe's path answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.shared.objects import ObjectStore
from services.shared.settings import Settings
from tests.chart.render import of_kind, rendered
from tests.chart.rules import Manifest, at
from tests.fixtures.ports import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "chart-access", "AWS_SECRET_ACCESS_KEY": "chart-secret"}


def container() -> Manifest:
    (store,) = [s for s in of_kind(rendered("kind"), "StatefulSet") if s["metadata"]["name"] == "lima-store"]
    (found,) = at(store, "spec.template.spec")["containers"]
    loaded: Manifest = found
    return loaded


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """The container's command, with this test's folder and ports instead of the pod's."""
    port = free_port()
    moved = {"/data": str(tmp_path), "0.0.0.0": "127.0.0.1", "8333": str(port)}
    arguments = []
    for argument in container()["args"]:
        flag, equals, value = argument.partition("=")
        arguments.append(f"{flag}{equals}{moved.get(value, value)}")
    # In a pod the other ports are the pod's own; here they must not be those of the session's server.
    for part in ("master", "volume", "filer"):
        arguments += [f"-{part}.port={free_port()}", f"-{part}.port.grpc={free_port()}"]
    arguments.append(f"-s3.port.grpc={free_port()}")
    weed = Path(sys.executable).with_name("weed")
    (tmp_path / "tmp").mkdir()
    environment = {**KEYS, "TMPDIR": str(tmp_path / "tmp")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(weed), *arguments], env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)
        print((tmp_path / "log").read_text()[-3000:])


def test_it_serves_s3_and_answers_its_probes(endpoint: str, tmp_path: Path) -> None:
    path = container()["readinessProbe"]["httpGet"]["path"]
    deadline = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(f"{endpoint}{path}", timeout=2).status_code == 200
            break
        except (httpx.HTTPError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    given = {variable["name"] for variable in container()["env"]}
    assert given == KEYS.keys()
    store = ObjectStore.from_settings(
        Settings(
            state_dir=tmp_path / "state",
            object_store_endpoint=endpoint,
            object_store_access_key=KEYS["AWS_ACCESS_KEY_ID"],
            object_store_secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            object_store_bucket="from-the-chart",
        )
    )
    store.put_bytes("a/b", b"kept")
    assert store.get_bytes("a/b") == b"kept"
    assert not list((tmp_path / "tmp").glob("weed*")), "it writes logs into a folder that is limited"
