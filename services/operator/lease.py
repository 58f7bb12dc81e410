"""One operator at a time: a Lease in the namespace, taken, renewed and given back.

The times are those of client-go's leader election, which Kubernetes' own controllers keep. Whether a holder is dead is
judged by our own clock alone: its record did not change for the lease's duration since we first saw it. So clocks that
differ between nodes cannot make two holders.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from services.operator.cluster import Cluster, Manifest
from services.shared.errors import Unavailable

log = structlog.get_logger()
LEASES = ("coordination.k8s.io/v1", "Lease")
DURATION_SECONDS = 15
RENEW_SECONDS = 2.0
# A holder that cannot renew stops itself before another may take over.
GIVE_UP_SECONDS = 10.0
# An attempt that hangs leaves time for another before that.
REQUEST_TIMEOUT = (3.0, 5.0)


class Lease:
    def __init__(self, cluster: Cluster, name: str, holder: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._name, self._holder, self._clock = cluster, name, holder, clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = float("-inf")

    @property
    def held(self) -> bool:
        """Whether this process may act: it renewed recently enough that nobody else can have taken over."""
        return self._clock() - self._renewed < GIVE_UP_SECONDS

    def try_hold(self) -> bool:
        """Take or renew the lease if it is free, expired or ours. False while another holds it."""
        asked = self._clock()
        try:
            won = self._write()
        except (ApiException, HTTPError, OSError) as error:
            # 409: another wrote in between. Anything else: the server is away; `held` runs out by itself.
            log.warning("lease not renewed", lease=self._name, error=str(error)[:200])
            return self.held
        if won:
            self._renewed = asked
        return won

    def give_back(self) -> None:
        """Let the next holder take over at once."""
        if not self.held:
            return
        self._renewed = float("-inf")
        try:
            current = self._cluster.get(*LEASES, self._name, timeout=REQUEST_TIMEOUT)
            if current and current["spec"].get("holderIdentity") == self._holder:
                current["spec"]["holderIdentity"] = ""
                self._cluster.replace(current, timeout=REQUEST_TIMEOUT)
        except (ApiException, HTTPError, OSError) as error:
            log.warning("lease not given back", lease=self._name, error=str(error)[:200])

    def _write(self) -> bool:
        current = self._cluster.get(*LEASES, self._name, timeout=REQUEST_TIMEOUT)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}
        if current is None:
            metadata = {"name": self._name, "namespace": self._cluster.namespace}
            made = _lease(metadata, {**spec, "acquireTime": now, "leaseTransitions": 0})
            self._cluster.create(made, timeout=REQUEST_TIMEOUT)
            return True
        old = current.get("spec") or {}
        if old.get("holderIdentity") not in ("", None, self._holder) and not self._expired(current):
            return False
        if old.get("holderIdentity") != self._holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions") or 0) + 1}
        # With the version that was read: of two that try, the API server lets one through.
        self._cluster.replace(_lease(current["metadata"], {**old, **spec}), timeout=REQUEST_TIMEOUT)
        return True

    def _expired(self, current: Manifest) -> bool:
        version = current["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        return self._clock() - self._seen[1] > DURATION_SECONDS


@dataclass(frozen=True)
class Fenced:
    """The cluster as the holder may change it: every write is refused once the lease may be another's.

    Asking once before a reconciliation is not enough: a process that was frozen in the middle of one wakes up in it.
    """

    cluster: Cluster
    lease: Lease

    def apply(self, manifest: Manifest) -> None:
        self._held().apply(manifest)

    def create(self, manifest: Manifest) -> Manifest:
        return self._held().create(manifest)

    def delete(self, manifest: Manifest) -> None:
        self._held().delete(manifest)

    def patch_status(self, api_version: str, kind: str, name: str, status: Manifest) -> None:
        self._held().patch_status(api_version, kind, name, status)

    def _held(self) -> Cluster:
        if not self.lease.held:
            raise Unavailable("the lease is not held any longer", remedy="another operator goes on, or this one anew")
        return self.cluster


def _lease(metadata: Manifest, spec: Manifest) -> Manifest:
    return {"apiVersion": LEASES[0], "kind": LEASES[1], "metadata": metadata, "spec": spec}
