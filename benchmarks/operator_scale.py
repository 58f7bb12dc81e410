"""The operator at scale, by simulation: 200 FineTuneJobs on 1,000 nodes of 8 GPUs, all at once.

    python -m benchmarks.operator_scale [--jobs 200] [--nodes 1000]

The operator is the real program in a process of its own, and the object store a real S3. The Kubernetes API is the
tests' FAKE, and so are nodes, scheduler and KubeRay: a thread here binds each worker of a RayJob to a node with free
GPUs, all or none, runs it for a moment, and ends it. What is measured is the operator: how long until a job is
submitted and until its state is mirrored, how long one reconciliation takes by its own metric, how many API calls a
job costs from creation to its end, and memory. There is no peer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import Result, main
from services.operator.finetunejob import parse_job
from services.shared.objects import ObjectStore
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.fixtures.ports import free_port
from tests.fixtures.seaweedfs import S3Server, running_seaweedfs
from tests.unit.operator.fake_kubernetes import FakeKubernetes, serving
from tests.unit.operator.jobs import config, manifest, put_inputs, put_run, run_status

GPUS_PER_NODE = 8
# 64 nodes' worth each: 200 jobs ask for more than there is, so that some must wait.
GPUS_PER_JOB = 64
LIMIT_SECONDS = 500.0


class Cluster:
    """Plays scheduler and KubeRay over the fake API: gangs of nodes, first come, first served."""

    def __init__(self, fake: FakeKubernetes, nodes: int, store: ObjectStore) -> None:
        self.fake, self.store = fake, store
        self.free = {f"gpu-{number:04}": GPUS_PER_NODE for number in range(nodes)}
        self.bound: dict[str, list[str]] = {}
        self.submitted: dict[str, float] = {}
        self.running: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def turn(self) -> None:
        names = [name for plural, name in list(self.fake.objects) if plural == "rayjobs"]
        now = time.monotonic()
        for name in names:
            self.submitted.setdefault(name, now)
            if name not in self.running and self.bind(name):
                self.running[name] = time.monotonic()
                self.fake.set_status("rayjobs", name, jobDeploymentStatus="Running", jobStatus="RUNNING")
            elif name in self.running and name not in self.ended and now - self.running[name] > 2.0:
                self.free |= dict.fromkeys(self.bound.pop(name), GPUS_PER_NODE)
                put_run(self.store, run_status(name, RunPhase.SUCCEEDED, step=9, total_steps=9))
                self.ended[name] = time.monotonic()
                self.fake.set_status("rayjobs", name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")

    def bind(self, name: str) -> bool:
        """Give each worker pod of a RayJob a node of its own, or none of them any."""
        held = self.fake.get("rayjobs", name)
        if held is None:
            return False
        (group,) = held["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        (container,) = group["template"]["spec"]["containers"]
        gpus = int(container["resources"]["limits"]["nvidia.com/gpu"])
        nodes = [node for node, free in self.free.items() if free >= gpus][: group["replicas"]]
        if len(nodes) < group["replicas"]:
            return False
        self.free |= {node: self.free[node] - gpus for node in nodes}
        self.bound[name] = nodes
        return True


class Observer:
    """Notes when each job reached each phase."""

    def __init__(self, fake: FakeKubernetes) -> None:
        self.fake = fake
        self.reached: dict[tuple[str, str], float] = {}

    def turn(self) -> int:
        """Look once; returns how many jobs have succeeded."""
        now, done = time.monotonic(), 0
        for (plural, name), item in list(self.fake.objects.items()):
            if plural == "finetunejobs":
                phase = (item.get("status") or {}).get("phase", "")
                self.reached.setdefault((name, phase), now)
                done += phase == "Succeeded"
        return done


@contextmanager
def operator(
    url: str, server: S3Server, bucket: str, folder: Path, metrics_port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """The real program, beside this one."""
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "current-context": "fake",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    facts = config(resyncSeconds=15, leaseName="lima-operator")
    (folder / "operator.json").write_text(facts.model_dump_json(by_alias=True))
    environment = {
        **os.environ,
        "KUBECONFIG": str(folder / "kubeconfig"),
        "LIMA_OPERATOR_CONFIG": str(folder / "operator.json"),
        "LIMA_NAMESPACE": "lima",
        "LIMA_STATE_DIR": str(folder),
        "LIMA_OBJECT_STORE_ENDPOINT": server.endpoint,
        "LIMA_OBJECT_STORE_ACCESS_KEY": server.access_key,
        "LIMA_OBJECT_STORE_SECRET_KEY": server.secret_key,
        "LIMA_OBJECT_STORE_BUCKET": bucket,
        "LIMA_LOG_LEVEL": "error",
        "LIMA_METRICS_PORT": str(metrics_port),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.operator"], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def resident_mib(pid: int) -> float:
    """Most memory that the process ever held, from Linux's own record."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def reconciliations(port: int) -> tuple[int, float]:
    """How many the operator did, and their mean duration in milliseconds, by its own metric."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    told = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
    count = told["lima_operator_reconcile_seconds_count"]
    return int(count), told["lima_operator_reconcile_seconds_sum"] / count * 1000


def measure(jobs: int, nodes: int, server: S3Server, folder: Path) -> dict[str, Any]:
    store = ObjectStore.from_settings(
        Settings(
            state_dir=folder,
            object_store_endpoint=server.endpoint,
            object_store_access_key=server.access_key,
            object_store_secret_key=server.secret_key,
            object_store_bucket="operator-scale",
        )
    )
    put_inputs(store)
    fake = FakeKubernetes()
    cluster, observer = Cluster(fake, nodes, store), Observer(fake)
    compute = {"workers": GPUS_PER_JOB, "gpusPerWorker": 1}
    port = free_port()
    with serving(fake) as url, operator(url, server, store.bucket, folder, port) as process:
        while ("watch", "rayjobs") not in fake.requests:
            time.sleep(0.05)
        before = len(fake.requests)
        created = {}
        for number in range(jobs):
            made = fake.put("finetunejobs", manifest(f"job-{number:03}", compute=compute, workersPerPod=GPUS_PER_NODE))
            created[parse_job(made).child_name] = (made["metadata"]["name"], time.monotonic())
        begin = time.monotonic()
        stop = threading.Event()
        watching = threading.Thread(target=lambda: _until(stop, cluster.turn), daemon=True)
        watching.start()
        while observer.turn() < jobs:
            if time.monotonic() - begin > LIMIT_SECONDS or process.poll() is not None:
                raise RuntimeError(f"{observer.turn()} of {jobs} jobs after {time.monotonic() - begin:.0f} s")
            time.sleep(0.02)
        stop.set()
        watching.join()
        calls = [verb for verb, resource in fake.requests[before:] if resource != "leases"]
        submit = sorted(cluster.submitted[child] - at for child, (_, at) in created.items())
        mirror = sorted(
            observer.reached[name, "Succeeded"] - cluster.ended[child] for child, (name, _) in created.items()
        )
        count, milliseconds = reconciliations(port)
        return {
            "submit_median": statistics.median(submit),
            "submit_p95": submit[int(len(submit) * 0.95)],
            "mirror_median": statistics.median(mirror),
            "mirror_p95": mirror[int(len(mirror) * 0.95)],
            "reconcile_mean_ms": milliseconds,
            "reconciliations": count,
            "calls_per_job": len(calls) / jobs,
            "calls_by_verb": {verb: calls.count(verb) for verb in sorted(set(calls))},
            "submissions": sum(1 for request in fake.requests if request == ("patch", "rayjobs")),
            "operator_peak_mib": resident_mib(process.pid),
            "all_done_seconds": time.monotonic() - begin,
        }


def _until(stop: threading.Event, turn: Any) -> None:
    while not stop.wait(0.02):
        turn()


def run(arguments: argparse.Namespace) -> Result:
    with running_seaweedfs() as server, tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.jobs, arguments.nodes, server, Path(folder))
    found = {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}
    return Result(
        metric="median time from a FineTuneJob's creation to its RayJob, all created at once",
        value=found.pop("submit_median"),
        unit="s",
        packages=("kubernetes", "minio", "pydantic"),
        details={"jobs": arguments.jobs, "nodes": arguments.nodes, "simulated": "API, nodes and KubeRay", **found},
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=1000)


if __name__ == "__main__":
    main("operator_scale", run, options)
