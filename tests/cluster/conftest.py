"""One control plane for the session, KubeRay's kinds and ours in it, and a namespace that enforces `restricted`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from services.operator.cluster import Cluster
from services.shared.settings import Settings
from tests.chart.render import CHART, helm
from tests.chart.schemas import OUR_CRD, shared
from tests.chart.tools import ROOT
from tests.cluster.control_plane import ADMIN, OPERATOR, AssetsMissing, ControlPlane, assets
from tests.unit.operator.jobs import config

NAMESPACE = "lima"
# Generous: what comes, comes within a second or two, but not on a machine that does other things too.
PATIENCE_SECONDS = 180.0


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    try:
        assets()
    except AssetsMissing as missing:
        pytest.skip(str(missing))
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        plane.start()
        for kind in ("rayjobs", "rayservices", "rayclusters"):
            install_kuberay(plane, kind)
        plane.must("apply", "--server-side", "-f", str(ROOT / "k8s/cluster/namespace.yaml"))
        yield plane
    finally:
        plane.stop()


def install_kuberay(plane: ControlPlane, kind: str) -> None:
    """One of KubeRay's kinds; too large for the annotation that a plain apply would keep."""
    plane.must("create", "-f", str(shared(f"kuberay-1.7/ray.io_{kind}.yaml")))
    established(plane, f"{kind}.ray.io")


def established(plane: ControlPlane, name: str) -> None:
    """Wait until the server serves a kind."""

    def is_served() -> bool:
        conditions = json.loads(plane.must("get", "crd", name, "-o", "json")).get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    eventually(is_served)


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> None:
    """Our kind, without the chart."""
    control_plane.must("apply", "--server-side", "-f", str(OUR_CRD))
    established(control_plane, "finetunejobs.lima.dev")


@pytest.fixture
def chart_role(control_plane: ControlPlane, crd: None) -> Iterator[None]:
    """The operator's Role, RoleBinding and Lease, exactly as the chart makes them."""
    role = ["--show-only", "templates/operator.yaml", "--set", "crds.install=false"]
    done = helm("helm4", "template", "lima", str(CHART), "--namespace", NAMESPACE, *role)
    assert done.returncode == 0, done.stderr
    control_plane.must("apply", "--server-side", "-n", NAMESPACE, "-f", "-", stdin=done.stdout)
    yield
    # What Helm did not make is not Helm's to own.
    control_plane.must("delete", "--ignore-not-found", "-n", NAMESPACE, "-f", "-", stdin=done.stdout)


@pytest.fixture
def operator(
    control_plane: ControlPlane, chart_role: None, settings: Settings, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the operator as its own process, with the rights of its service account and no others."""
    facts = tmp_path / "operator.json"
    facts.write_text(config(leaseName="lima-operator", gpuMemory="80Gi").model_dump_json(by_alias=True))
    secret = settings.object_store_secret_key.get_secret_value()
    environment = {
        **os.environ,
        "KUBECONFIG": str(control_plane.kubeconfig(OPERATOR)),
        "LIMA_OPERATOR_CONFIG": str(facts),
        "LIMA_NAMESPACE": NAMESPACE,
        "LIMA_STATE_DIR": str(tmp_path / "state"),
        "LIMA_OBJECT_STORE_ENDPOINT": settings.object_store_endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": settings.object_store_access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": secret,
        "LIMA_OBJECT_STORE_BUCKET": settings.object_store_bucket,
        "LIMA_LOG_FORMAT": "json",
    }
    started: list[subprocess.Popen[bytes]] = []
    log = tmp_path / "operator.log"

    def start() -> subprocess.Popen[bytes]:
        environment["LIMA_POD_NAME"] = f"operator-{len(started)}"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.operator"], env=environment, cwd=ROOT, stdout=output, stderr=output
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)
    print(log.read_text()[-4000:] if log.exists() else "")
    control_plane.kubectl("-n", NAMESPACE, "delete", "finetunejobs,rayjobs", "--all", "--wait=true")


def connected(plane: ControlPlane, user: str = ADMIN) -> Cluster:
    """The operator's own client, with the rights of `user`."""
    # The client library calls itself typed, and this half is not.
    library: Any = kubernetes.config
    return Cluster(library.new_client_from_config(str(plane.kubeconfig(user))), NAMESPACE)


def get(plane: ControlPlane, kind: str, name: str) -> dict[str, Any] | None:
    done = plane.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json")
    loaded: dict[str, Any] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return loaded


def eventually(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = check()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"still {check()!r} after {PATIENCE_SECONDS} s")
