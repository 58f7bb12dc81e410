"""The Kubernetes API as the operator uses it: dicts in and out, every request with a time limit.

Custom resources go through the DynamicClient. All requests are within one namespace.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from services.operator.rayjob import MANAGER
from services.shared.errors import FailedPrecondition

Manifest = dict[str, Any]
# The client library calls itself typed, and its hand-written half is not.
_config: Any = config
_dynamic: Any = dynamic
_watch: Any = watch.watch
# Seconds to connect, and between two bytes.
Timeout = tuple[float, float]
REQUEST_TIMEOUT: Timeout = (3.0, 30.0)
# The server ends a watch by itself after this.
WATCH_SECONDS = 300
# A server sends a bookmark every minute: a connection silent for longer is half-open, and the watch goes on in another.
SILENCE_SECONDS = 100.0
# The client library keeps what it discovers in a file that any user of the machine may have put there, and goes on
# without one that cannot be written.
_NO_FILE = os.path.join(os.devnull, "none")


class KindMissing(Exception):
    """The API server knows no such kind: its CustomResourceDefinition is not installed."""


class Gone(Exception):
    """The version to watch from is too old: list again."""


def connect() -> client.ApiClient:
    """A client from the pod's service account, or from the kubeconfig.

    Raises:
        FailedPrecondition: there is neither.
    """
    try:
        _config.load_incluster_config()
    except config.ConfigException:
        try:
            _config.load_kube_config()
        except config.ConfigException as error:
            raise FailedPrecondition(
                f"no Kubernetes cluster: {error}", remedy="run in a pod, or set KUBECONFIG to a file with a context"
            ) from None
    found = client.Configuration.get_default_copy()
    # Whoever asks tries again by itself; a Lease cannot wait for three attempts in a row.
    found.retries = False
    found.keep_alive = True
    return Client(found)


class Client(client.ApiClient):
    """The library's client with a time limit on every request: its own discovery sets none, and would wait for ever."""

    def call_api(self, method: str, url: str, *more: Any, _request_timeout: Any = None, **options: Any) -> Any:
        options["_request_timeout"] = _request_timeout or REQUEST_TIMEOUT
        return super().call_api(method, url, *more, **options)


class Cluster:
    """One namespace of one cluster. Any method raises ApiException when the API server refuses, urllib3's
    HTTPError when it is not there, and KindMissing when it does not know the kind."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = api
        self._client: Any = None
        self._kinds: dict[tuple[str, str], Any] = {}
        # The library's discovery rebuilds its cache in place, and informers and workers ask from their own threads.
        self._discovery = threading.RLock()

    def list(self, api_version: str, kind: str) -> tuple[list[Manifest], str]:
        """Every object of a kind, and the version to watch from."""
        with self._known(api_version, kind) as known:
            answer = self._dynamic().get(
                known, namespace=self.namespace, serialize=False, _request_timeout=REQUEST_TIMEOUT
            )
        listed = json.loads(answer.data)
        # A list leaves apiVersion and kind out of its items.
        items = [{"apiVersion": api_version, "kind": kind, **item} for item in listed["items"]]
        return items, listed["metadata"]["resourceVersion"]

    def watch(self, api_version: str, kind: str, version: str) -> Iterator[tuple[str, Manifest]]:
        """Events after a version: (ADDED | MODIFIED | DELETED | BOOKMARK, object). Ends when the server ends it.

        Raises:
            Gone: the version is too old.
        """
        with self._known(api_version, kind) as known:
            answer = self._dynamic().get(
                known,
                namespace=self.namespace,
                watch=True,
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=WATCH_SECONDS,
                serialize=False,
                _request_timeout=(REQUEST_TIMEOUT[0], SILENCE_SECONDS),
            )
        try:
            for line in _watch.iter_resp_lines(answer):
                if not line:
                    continue
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise Gone if status.get("code") == 410 else ApiException(status.get("code"), status.get("message"))
                yield event["type"], event["object"]
        finally:
            answer.close()

    def apply(self, manifest: Manifest) -> None:
        """Server-side apply: makes the object be so, whether it exists or not."""
        self._dynamic().server_side_apply(
            self._kind(manifest["apiVersion"], manifest["kind"]),
            body=manifest,
            namespace=self.namespace,
            field_manager=MANAGER,
            force_conflicts=True,
            _request_timeout=REQUEST_TIMEOUT,
        )

    def patch_status(self, api_version: str, kind: str, name: str, status: Manifest) -> None:
        """Replace the status: keys that are None are removed."""
        self._dynamic().patch(
            self._kind(api_version, kind).subresources["status"],
            body={"status": status},
            name=name,
            namespace=self.namespace,
            content_type="application/merge-patch+json",
            field_manager=MANAGER,
            _request_timeout=REQUEST_TIMEOUT,
        )

    def delete(self, manifest: Manifest) -> None:
        """Delete this very object, not one of the same name made since. Absent already is fine."""
        metadata = manifest["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
        kind = self._kind(manifest["apiVersion"], manifest["kind"])
        try:
            self._dynamic().delete(
                kind, name=metadata["name"], namespace=self.namespace, body=options, _request_timeout=REQUEST_TIMEOUT
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    def create(self, manifest: Manifest, timeout: Timeout = REQUEST_TIMEOUT) -> Manifest:
        return self._one(self._dynamic().create, manifest, timeout)

    def replace(self, manifest: Manifest, timeout: Timeout = REQUEST_TIMEOUT) -> Manifest:
        """Write an object that was read before; refused with 409 when somebody wrote it in between."""
        return self._one(self._dynamic().replace, manifest, timeout)

    def get(self, api_version: str, kind: str, name: str, timeout: Timeout = REQUEST_TIMEOUT) -> Manifest | None:
        try:
            answer = self._dynamic().get(
                self._kind(api_version, kind), name=name, namespace=self.namespace, _request_timeout=timeout
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        manifest: Manifest = answer.to_dict()
        return manifest

    def _one(self, call: Callable[..., Any], manifest: Manifest, timeout: Timeout) -> Manifest:
        kind = self._kind(manifest["apiVersion"], manifest["kind"])
        written: Manifest = call(kind, body=manifest, namespace=self.namespace, _request_timeout=timeout).to_dict()
        return written

    @contextmanager
    def _known(self, api_version: str, kind: str) -> Iterator[Any]:
        """The discovered resource of a list; a kind that is uninstalled since is missing, whatever was known before."""
        known = self._kind(api_version, kind)
        try:
            yield known
        except ApiException as error:
            if error.status != 404:
                raise
            with self._discovery:
                self._kinds.pop((api_version, kind), None)
                self._dynamic().resources.invalidate_cache()
            raise KindMissing(f"{api_version} {kind}") from None

    def _kind(self, api_version: str, kind: str) -> Any:
        """The discovered resource; discovery is asked once per kind that exists."""
        key = (api_version, kind)
        # What is known waits for nobody's discovery: the Lease is renewed while an informer looks for a missing kind.
        known = self._kinds.get(key)
        if known is not None:
            return known
        with self._discovery:
            if key not in self._kinds:
                try:
                    self._kinds[key] = self._dynamic().resources.get(api_version=api_version, kind=kind)
                except ResourceNotFoundError:
                    raise KindMissing(f"{api_version} {kind}") from None
            return self._kinds[key]

    def _dynamic(self) -> Any:
        if self._client is not None:
            return self._client
        # Made at the first request, because it asks the server for its version; a pod must start without one.
        with self._discovery:
            if self._client is not None:
                return self._client
            self._client = _dynamic.DynamicClient(self._api, cache_file=_NO_FILE)
        return self._client
