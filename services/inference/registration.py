"""Putting models into the store and the registry, from wherever they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from services.inference.folders import FolderFacts, Published, publish
from services.inference.names import check_model_id, check_version
from services.inference.registry import ModelVersion, Registry
from services.inference.replica_side import BROKEN, ReplicaSide
from services.inference.upstreams.recorded import read_recording
from services.inference.upstreams.source import UpstreamSource, check_source
from services.shared.digest import digest_json
from services.shared.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.shared.objects import ObjectStore

CHECKPOINT = re.compile(r"runs/[a-z0-9][a-z0-9._-]{0,127}/checkpoints/[a-z0-9][a-z0-9._-]{0,63}")
POLL_SECONDS = 0.5
RESTARTS = 3
# A replica side that is starting is asked again, a second later each time.
ATTEMPTS = 60
ANSWER_SECONDS = 60.0

Progress = Callable[[str, int, int, str], Awaitable[None]]
SourceKind = Literal["folder_uri", "hub_id", "checkpoint", "package", "upstream", "recorded_uri"]


@dataclass(frozen=True, slots=True)
class Registration:
    """`source` is a text for all kinds but "upstream"."""

    model: str
    version: str
    kind: SourceKind
    source: str | UpstreamSource

    def __post_init__(self) -> None:
        check_model_id(self.model)
        check_version(self.version)
        if not isinstance(self.source, str):
            return
        if not self.source:
            raise InvalidInput(self.kind, self.source, "must not be empty")
        if self.kind == "checkpoint" and not CHECKPOINT.fullmatch(self.source.rstrip("/")):
            raise InvalidInput("checkpoint", self.source, "must be runs/<run>/checkpoints/epoch-NN")


class Registrar:
    def __init__(
        self,
        registry: Registry,
        store: ObjectStore,
        side: ReplicaSide,
        *,
        model_root: Path | None,
        upstream_hosts: tuple[str, ...],
    ) -> None:
        self._registry = registry
        self._store = store
        self._side = side
        self._model_root = model_root
        self._hosts = upstream_hosts

    async def register(self, wanted: Registration, report: Progress) -> ModelVersion:
        """Idempotent: the same source again gives the version that is there."""
        if isinstance(wanted.source, UpstreamSource):
            return await self._upstream(wanted, wanted.source)
        if wanted.kind == "recorded_uri":
            return await self._recorded(wanted, wanted.source)
        if wanted.kind in ("package", "hub_id"):
            published = await self._converted(wanted, wanted.source, report)
        elif wanted.kind == "checkpoint" or wanted.source.startswith("s3://"):
            published = await self._copied(wanted, wanted.source.rstrip("/"), report)
        else:
            folder = self._local_folder(wanted.source)
            await report("uploading", 0, 0, "")
            origin = f"folder {folder.name}"
            published = await asyncio.to_thread(publish, self._store, wanted.model, wanted.version, folder, origin)
        return await self._registry.add(
            ModelVersion(
                name=published.model,
                version=published.version,
                kind="replica",
                uri=self._store.uri(published.prefix) + "/",
                digest=published.digest,
                parameter_count=published.facts.parameter_count,
                context_length=published.facts.context_length,
                origin=published.origin,
            )
        )

    async def _copied(self, wanted: Registration, source: str, report: Progress) -> Published:
        """A folder of the store (a run's checkpoint, say) as a version of its own, which outlives the run."""
        prefix = self._store.key(source) if source.startswith("s3://") else source
        if await asyncio.to_thread(self._store.get_manifest, prefix) is None:
            raise NotFound(
                "complete folder", self._store.uri(prefix), remedy="it has no manifest.json: finish writing it first"
            )
        await report("fetching", 0, 0, "")

        def copy() -> Published:
            with tempfile.TemporaryDirectory(prefix="lima-register-") as scratch:
                folder = Path(scratch) / "model"
                self._store.get_folder(prefix, folder)
                return publish(self._store, wanted.model, wanted.version, folder, source)

        return await asyncio.to_thread(copy)

    async def _converted(self, wanted: Registration, source: str, report: Progress) -> Published:
        """Has the replica side convert it, where torch is, and follows its progress."""
        spec = {"source": source, "model": wanted.model, "version": wanted.version}
        spec["kind"] = "package" if wanted.kind == "package" else "hub"
        for _ in range(RESTARTS):
            state = await self._send("POST", "/admin/conversions", spec)
            # None: the replica side was started anew meanwhile and knows nothing of it; ask again.
            while state is not None:
                if state["error"]:
                    raise FailedPrecondition(state["error"]["message"], remedy=state["error"]["remedy"])
                if state["published"]:
                    found = state["published"]
                    return Published(**found | {"facts": FolderFacts(**found["facts"])})
                await report(state["stage"], state["done"], state["total"], state["unit"])
                await asyncio.sleep(POLL_SECONDS)
                state = await self._send("GET", f"/admin/conversions/{state['id']}")
        raise Unavailable(f"the replica side was started anew {RESTARTS} times during a conversion")

    async def _send(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(1)  # it may be starting still
            with contextlib.suppress(*BROKEN):
                async with self._side.open(method, path, body, ANSWER_SECONDS) as response:
                    if response.status == 404 and method == "GET":
                        return None
                    if response.status < 400:
                        state: dict[str, Any] = await response.json()
                        return state
                    if response.status not in (404, 503):
                        said = (await response.text())[:300]
                        raise FailedPrecondition(f"the replica side answered {response.status}: {said}")
        raise Unavailable(
            f"the replica side at {self._side.url}, which converts models, does not answer",
            remedy="python -m services.inference.replica starts it",
        )

    def _local_folder(self, source: str) -> Path:
        if self._model_root is None:
            raise InvalidInput(
                "folder_uri", source, "must be in the store (s3://...)", "or start the server with LIMA_MODEL_ROOT"
            )
        root = self._model_root.resolve()
        folder = (root / source).resolve()
        if not folder.is_relative_to(root):
            raise InvalidInput("folder_uri", source, f"must lie below {root}")
        if not folder.is_dir():
            raise NotFound("folder", source, remedy=f"it must lie below {root}")
        return folder

    async def _upstream(self, wanted: Registration, source: UpstreamSource) -> ModelVersion:
        check_source(source, self._hosts)
        described = asdict(source)
        digest = digest_json(described)
        return await self._registry.add(
            ModelVersion(
                name=wanted.model,
                version=wanted.version or digest[:12],
                kind="upstream",
                uri=source.base_url,
                digest=digest,
                origin=f"{source.model} at {source.base_url}",
                source=json.dumps(described, sort_keys=True),
            )
        )

    async def _recorded(self, wanted: Registration, uri: str) -> ModelVersion:
        recording = await asyncio.to_thread(read_recording, self._store, uri)
        return await self._registry.add(
            ModelVersion(
                name=wanted.model,
                version=wanted.version or recording.digest[:12],
                kind="recorded",
                uri=uri,
                digest=recording.digest,
                origin=f"{len(recording.answers)} recorded responses",
            )
        )
