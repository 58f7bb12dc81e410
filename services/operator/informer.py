"""A local copy of every object of one kind, kept true over anything that a network does.

List, then watch with bookmarks from the list's version; on 410 list again; on any failure go on from the last version
after a pause with jitter. A connection that went silent ends by its read timeout. While the kind itself is missing
(no CustomResourceDefinition) the copy is empty, and it is looked for again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from services.operator.cluster import Cluster, Gone, KindMissing, Manifest

log = structlog.get_logger()
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Informer:
    """`on_change` is called with each object that came, changed or went, on the informer's own thread."""

    def __init__(self, cluster: Cluster, api_version: str, kind: str, on_change: Callable[[Manifest], None]) -> None:
        self._cluster, self._api_version, self._kind = cluster, api_version, kind
        self._on_change = on_change
        self._objects: dict[str, Manifest] = {}
        self._lock = threading.Lock()
        self._version: str | None = None
        self._stop = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"informer-{kind}", daemon=True)
        self.installed = True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; one blocked in a watch ends with the process."""
        self._stop.set()

    def wait_synced(self, seconds: float) -> bool:
        """Whether the first list is done (or the kind is known to be missing)."""
        return self._synced.wait(seconds)

    def get(self, name: str) -> Manifest | None:
        with self._lock:
            return self._objects.get(name)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._objects)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            try:
                if self._version is None:
                    self._list()
                pause = FIRST_PAUSE_SECONDS
                self._watch()
                continue
            except Gone:
                log.info("the version to watch from is too old; listing again", kind=self._kind)
                self._version = None
            except KindMissing:
                self._forget()
                pause = LONGEST_PAUSE_SECONDS
            except (ApiException, HTTPError, OSError, ValueError) as error:
                # A list may be refused for its version as well as a watch.
                if isinstance(error, ApiException) and error.status == 410:
                    self._version = None
                log.warning("watch interrupted", kind=self._kind, error=str(error)[:200], retry_seconds=pause)
            except Exception:
                # A bug must not leave the operator acting on a copy that nobody keeps true.
                log.exception("watch interrupted by a bug", kind=self._kind, retry_seconds=pause)
                self._version = None
            self._stop.wait(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _list(self) -> None:
        items, version = self._cluster.list(self._api_version, self._kind)
        fresh = {item["metadata"]["name"]: item for item in items}
        with self._lock:
            gone = [item for name, item in self._objects.items() if name not in fresh]
            self._objects = fresh
        self.installed, self._version = True, version
        self._synced.set()
        for item in [*fresh.values(), *gone]:
            self._on_change(item)

    def _watch(self) -> None:
        assert self._version is not None
        for event, item in self._cluster.watch(self._api_version, self._kind, self._version):
            self._version = item["metadata"]["resourceVersion"]
            if event == "BOOKMARK":
                continue
            with self._lock:
                if event == "DELETED":
                    self._objects.pop(item["metadata"]["name"], None)
                else:
                    self._objects[item["metadata"]["name"]] = item
            self._on_change(item)
            if self._stop.is_set():
                return

    def _forget(self) -> None:
        with self._lock:
            gone, self._objects = list(self._objects.values()), {}
        self.installed, self._version = False, None
        self._synced.set()
        for item in gone:
            self._on_change(item)
