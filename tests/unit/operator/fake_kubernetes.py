"""A FAKE Kubernetes API server: enough of the HTTP protocol for the operator's own client, over a real socket.

It validates nothing and runs nothing. It has discovery, list, watch with bookmarks, server-side apply (as a plain
merge), merge patches of the status, optimistic locking, deletion with preconditions, and ownership. It can be made to
fail in the ways a real server fails. tests/cluster runs the same operator against a real API server.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Manifest = dict[str, Any]
KINDS = {
    ("lima.dev", "v1alpha1"): {"finetunejobs": "FineTuneJob"},
    ("ray.io", "v1"): {"rayjobs": "RayJob"},
    ("events.k8s.io", "v1"): {"events": "Event"},
    ("coordination.k8s.io", "v1"): {"leases": "Lease"},
}
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class ApiFailure(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class FakeKubernetes:
    """Objects by (plural, name) in one namespace, and every request that came."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        # (verb, resource) of every request but discovery, as RBAC names them.
        self.requests: list[tuple[str, str]] = []
        self.kinds = dict(KINDS)
        self._changed = threading.Condition()
        self._version = 1
        self._oldest = 0
        self._log: list[tuple[int, str, str, Manifest]] = []
        self._failures: list[tuple[str, int]] = []
        self._generation_of_watches = 0
        # How many watches there were, and up to which of them all are mute.
        self._watches = self._muted = 0
        self.down = False

    # What a test does to it.

    def put(self, plural: str, manifest: Manifest) -> Manifest:
        """Create or change an object as a person would: a changed spec is a new generation."""
        with self._changed:
            return copy.deepcopy(self._store(plural, manifest))

    def get(self, plural: str, name: str) -> Manifest | None:
        with self._changed:
            return copy.deepcopy(self.objects.get((plural, name)))

    def remove(self, plural: str, name: str) -> None:
        with self._changed:
            self._drop(plural, name)

    def set_status(self, plural: str, name: str, **status: Any) -> None:
        with self._changed:
            found = copy.deepcopy(self.objects[plural, name])
            found["status"] = {**found.get("status", {}), **status}
            self._record("MODIFIED", plural, found)

    def fail_next(self, verb: str, status: int) -> None:
        """Answer the next request of this verb with an error."""
        self._failures.append((verb, status))

    def compact(self) -> None:
        """Forget the past and cut every watch: going on from an old version is answered with 410."""
        with self._changed:
            self._oldest = self._version
            self._log.clear()
            self._generation_of_watches += 1
            self._changed.notify_all()

    def mute(self) -> None:
        """Leave the watches that are open now open, and send nothing over them any more."""
        with self._changed:
            self._muted = self._watches
            self._changed.notify_all()

    def uninstall(self, group: str) -> None:
        self.kinds = {key: kinds for key, kinds in self.kinds.items() if key[0] != group}

    def install(self, group: str) -> None:
        self.kinds |= {key: kinds for key, kinds in KINDS.items() if key[0] == group}

    # What the server does.

    def discover(self, path: str) -> Manifest:
        if path == "/version":
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.0-fake"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": []}
        if path == "/apis":
            versions = [{"groupVersion": f"{group}/{version}", "version": version} for group, version in self.kinds]
            groups = [
                {"name": entry["groupVersion"].partition("/")[0], "versions": [entry], "preferredVersion": entry}
                for entry in versions
            ]
            return {"kind": "APIGroupList", "groups": groups}
        group, version = path.removeprefix("/apis/").split("/")
        if (group, version) not in self.kinds:
            raise ApiFailure(404, "NotFound")
        resources = []
        for plural, kind in self.kinds[group, version].items():
            entry = {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]}
            resources += [entry, {**entry, "name": f"{plural}/status"}]
        return {"kind": "APIResourceList", "groupVersion": f"{group}/{version}", "resources": resources}

    def handle(self, method: str, plural: str, name: str, sub: str, kind: str, query: Any, body: Manifest) -> Manifest:
        verb = VERBS.get(method) or ("get" if name else "list")
        self.note(verb, f"{plural}/{sub}" if sub else plural)
        with self._changed:
            if verb == "list":
                items = [item for (owner, _), item in self.objects.items() if owner == plural]
                return {"kind": f"{kind}List", "metadata": {"resourceVersion": str(self._version)}, "items": items}
            if verb == "create":
                if (plural, body["metadata"]["name"]) in self.objects:
                    raise ApiFailure(409, "AlreadyExists")
                return self._store(plural, body)
            current = self.objects.get((plural, name))
            if verb == "patch" and not sub:
                return self._store(plural, _merged(current or {}, body))
            if current is None:
                raise ApiFailure(404, "NotFound")
            if verb == "patch":
                changed = copy.deepcopy(current)
                changed["status"] = _merged(current.get("status") or {}, body["status"])
                return changed if changed == current else self._record("MODIFIED", plural, changed)
            if verb == "update":
                if body["metadata"].get("resourceVersion") != current["metadata"]["resourceVersion"]:
                    raise ApiFailure(409, "Conflict")
                return self._store(plural, body)
            if verb == "delete":
                wanted = (body.get("preconditions") or {}).get("uid")
                if wanted and wanted != current["metadata"]["uid"]:
                    raise ApiFailure(409, "Conflict")
                self._drop(plural, name)
            return current

    def note(self, verb: str, resource: str) -> None:
        self.requests.append((verb, resource))
        for failure in self._failures:
            if failure[0] == verb:
                self._failures.remove(failure)
                raise ApiFailure(failure[1], "InternalError")

    def watch(self, plural: str, since: int) -> Iterator[Manifest]:
        """Events after a version; a bookmark whenever nothing happens for a moment."""
        with self._changed:
            mine = self._generation_of_watches
            self._watches += 1
            number = self._watches
            if since < self._oldest:
                gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                yield {"type": "ERROR", "object": gone}
                return
        while True:
            with self._changed:
                if mine != self._generation_of_watches or self.down:
                    return
                if number <= self._muted:
                    self._changed.wait(0.2)
                    continue
                news = [entry for entry in self._log if entry[0] > since and entry[2] == plural]
                if not news:
                    self._changed.wait(0.2)
                    version = self._version
                    news = [entry for entry in self._log if entry[0] > since and entry[2] == plural]
                    if not news and version > since:
                        since = version
                        yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(since)}}}
                        continue
            for version, event, _, item in news:
                since = version
                yield {"type": event, "object": item}
            if not news:
                # Something must cross the socket, or a client that went away would never be noticed.
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(since)}}}

    def _store(self, plural: str, manifest: Manifest) -> Manifest:
        item = copy.deepcopy(manifest)
        old = self.objects.get((plural, item["metadata"]["name"]))
        metadata = item["metadata"]
        if old is None:
            metadata |= {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
        else:
            kept = {key: old["metadata"][key] for key in ("uid", "generation", "creationTimestamp")}
            metadata |= {**kept, "generation": kept["generation"] + (old.get("spec") != item.get("spec"))}
            item.setdefault("status", old.get("status", {}))
        return self._record("ADDED" if old is None else "MODIFIED", plural, item)

    def _drop(self, plural: str, name: str) -> None:
        gone = self.objects.pop((plural, name))
        self._record("DELETED", plural, copy.deepcopy(gone))
        for (kind, child), item in list(self.objects.items()):
            if any(owner["uid"] == gone["metadata"]["uid"] for owner in item["metadata"].get("ownerReferences", [])):
                self._drop(kind, child)

    def _record(self, event: str, plural: str, item: Manifest) -> Manifest:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        if event != "DELETED":
            self.objects[plural, item["metadata"]["name"]] = item
        self._log.append((self._version, event, plural, copy.deepcopy(item)))
        self._changed.notify_all()
        return item


def _merged(base: Manifest, over: Manifest) -> Manifest:
    result = copy.deepcopy(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


@contextmanager
def serving(fake: FakeKubernetes) -> Iterator[str]:
    """The fake behind a socket of the loopback; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            if fake.down:
                self.close_connection = True
                self.connection.close()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            try:
                self._route(parts.path, parse_qs(parts.query), json.loads(body) if body else {})
            except ApiFailure as failure:
                status = {"kind": "Status", "code": failure.status, "reason": failure.reason, "message": str(failure)}
                self._answer(failure.status, status)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def _route(self, path: str, query: dict[str, list[str]], body: Manifest) -> None:
            if "/namespaces/" not in path:
                self._answer(200, fake.discover(path))
                return
            _, _, group, version, _, _, plural, *rest = path.split("/")
            name, sub = (*rest, "", "")[:2]
            kind = fake.kinds.get((group, version), {}).get(plural)
            if kind is None:
                raise ApiFailure(404, "NotFound")
            if query.get("watch"):
                fake.note("watch", plural)
                self._stream(plural, int(query["resourceVersion"][0]))
                return
            self._answer(200, fake.handle(self.command, plural, name, sub, kind, query, body))

        def _answer(self, status: int, value: Manifest) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, plural: str, since: int) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for event in fake.watch(plural, since):
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True  # The client went away.

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        fake.down = True
        fake.compact()
        server.shutdown()
        server.server_close()
