"""The running operator: informers feed a queue, workers reconcile, one Lease decides who acts."""

from __future__ import annotations

import threading
import time

import structlog
from kubernetes.client.exceptions import ApiException
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from urllib3.exceptions import HTTPError

from services.operator.cluster import Cluster, KindMissing, Manifest
from services.operator.config import OperatorConfig
from services.operator.finetunejob import API_VERSION, KIND
from services.operator.informer import Informer
from services.operator.lease import RENEW_SECONDS, Fenced, Lease
from services.operator.rayjob import JOB_LABEL, RAY_API_VERSION
from services.operator.reconcile import Reconciler
from services.operator.workqueue import WorkQueue
from services.shared.errors import LimaError
from services.shared.objects import ObjectStore

log = structlog.get_logger()
WORKERS = 4
# A worker that has been at one job for longer than every time limit of its requests together is stuck.
STUCK_SECONDS = 300.0


class Operator:
    """Runs on threads of its own between `start` and `stop`."""

    def __init__(
        self, cluster: Cluster, store: ObjectStore, config: OperatorConfig, holder: str, registry: CollectorRegistry
    ) -> None:
        self.queue = WorkQueue()
        self.jobs = Informer(cluster, API_VERSION, KIND, self._job_changed)
        self.ray_jobs = Informer(cluster, RAY_API_VERSION, "RayJob", self._ray_job_changed)
        self.lease = Lease(cluster, config.lease_name, holder)
        self._reconciler = Reconciler(Fenced(cluster, self.lease), self.jobs, self.ray_jobs, store, config)
        self._stop = threading.Event()
        self._busy_since: dict[int, float] = {}
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(WORKERS)]
        self._seconds = Histogram(
            "lima_operator_reconcile_seconds", "Duration of one reconciliation", registry=registry
        )
        self._failures = Counter("lima_operator_reconcile_failures", "Reconciliations to be retried", registry=registry)
        waiting = Gauge("lima_operator_queue_length", "Jobs waiting or at work", registry=registry)
        waiting.set_function(lambda: len(self.queue))
        leading = Gauge("lima_operator_leading", "1 where this operator holds the Lease", registry=registry)
        leading.set_function(lambda: float(self.lease.held))

    def run(self) -> int:
        """Blocks until `stop`. Returns the exit code: 1 when the Lease was lost, so that a new process takes over."""
        standing_by = False
        while not self._stop.is_set() and not self.lease.try_hold():
            if not standing_by:
                log.info("another operator holds the lease; standing by")
                standing_by = True
            self._stop.wait(RENEW_SECONDS)
        if self._stop.is_set():
            return 0
        log.info("operating")
        self.jobs.start()
        self.ray_jobs.start()
        if not self._wait_synced():
            return 0
        for thread in self._threads:
            thread.start()
        return self._keep_lease()

    def stop(self) -> None:
        self._stop.set()
        self.queue.close()
        self.jobs.stop()
        self.ray_jobs.stop()

    @property
    def alive(self) -> bool:
        now = time.monotonic()
        return all(now - since < STUCK_SECONDS for since in self._busy_since.values())

    def _wait_synced(self) -> bool:
        """Acting on half a picture would submit again what is there already."""
        for informer in (self.jobs, self.ray_jobs):
            while not informer.wait_synced(1.0):
                self.lease.try_hold()
                if self._stop.is_set():
                    return False
        return True

    def _keep_lease(self) -> int:
        while not self._stop.wait(RENEW_SECONDS):
            self.lease.try_hold()
            if not self.lease.held:
                log.error("lease lost; ending, so that two operators never act")
                self.stop()
                return 1
        for thread in self._threads:
            thread.join(timeout=20)
        self.lease.give_back()
        return 0

    def _work(self) -> None:
        me = threading.get_ident()
        while (name := self.queue.get()) is not None:
            self._busy_since[me] = time.monotonic()
            try:
                with self._seconds.time():
                    again = self._reconciler.reconcile(name) if self.lease.held else RENEW_SECONDS
                self.queue.forgive(name)
                if again is not None:
                    self.queue.add(name, again)
            except (ApiException, HTTPError, KindMissing, LimaError, OSError) as error:
                self._failures.inc()
                log.warning("retrying", job=name, error=str(error)[:300], retry_seconds=self.queue.retry(name))
            except Exception:
                # A bug met with one job must not end the others' worker.
                self._failures.inc()
                log.exception("retrying after a bug", job=name, retry_seconds=self.queue.retry(name))
            finally:
                self._busy_since.pop(me, None)
                self.queue.done(name)

    def _job_changed(self, manifest: Manifest) -> None:
        self.queue.add(manifest["metadata"]["name"])

    def _ray_job_changed(self, manifest: Manifest) -> None:
        owner = (manifest["metadata"].get("labels") or {}).get(JOB_LABEL)
        if owner:
            self.queue.add(owner)
