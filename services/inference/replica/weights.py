"""Weights of a version on this node: fetched once, verified, shared by its replicas."""

from __future__ import annotations

import fcntl
from pathlib import Path

import structlog

from services.inference.folders import content_digest
from services.inference.replica.spec import DeploymentSpec
from services.shared.errors import DataCorrupt
from services.shared.objects import ObjectStore

logger = structlog.get_logger()


def fetch_weights(store: ObjectStore, cache: Path, spec: DeploymentSpec) -> Path:
    """The local folder of a version. Raises NotFound or DataCorrupt; what does not verify never lands in the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / spec.digest
    # Several replicas start at once on one node: the first fetches, the others find it there.
    with (cache / f".{spec.digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        manifest = store.get_folder(spec.prefix, folder)
    if content_digest(manifest) != spec.digest:
        raise DataCorrupt(
            f"{store.uri(spec.prefix)} is not the content that was registered as {spec.resource}",
            remedy="register the model again under a new version",
        )
    logger.info("weights_ready", model=spec.resource, folder=folder.name[:12])
    return folder
