"""Where a run reads its inputs and leaves its results: a bucket, or a local folder with the same rules.

Folders are whole or absent in both: their manifest.json is written last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from services.shared.digest import digest_file, digest_json
from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import MANIFEST, ObjectStore, check_key
from services.shared.settings import Settings


class Storage(Protocol):
    """The part of ObjectStore that training uses."""

    def uri(self, key: str) -> str: ...
    def put_bytes(self, key: str, data: bytes) -> object: ...
    def get_bytes(self, key: str, max_bytes: int = ...) -> bytes: ...
    def stat(self, key: str) -> object | None: ...
    def delete(self, key: str) -> object: ...
    def delete_prefix(self, prefix: str) -> object: ...
    def list_folders(self, prefix: str) -> Iterator[str]: ...
    def put_folder(self, prefix: str, folder: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]: ...
    def get_folder(self, prefix: str, folder: Path) -> dict[str, Any]: ...
    def get_manifest(self, prefix: str) -> dict[str, Any] | None: ...


class FolderStorage:
    """A local folder that behaves like a bucket."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def uri(self, key: str) -> str:
        return str(self.root / key)

    def put_bytes(self, key: str, data: bytes) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(data)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def get_bytes(self, key: str, max_bytes: int = 64 << 20) -> bytes:
        path = self._path(key)
        if not path.is_file():
            raise NotFound("file", str(path))
        if path.stat().st_size > max_bytes:
            raise InvalidInput("file", str(path), f"must be at most {max_bytes} bytes")
        return path.read_bytes()

    def stat(self, key: str) -> int | None:
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> None:
        self.delete(f"{prefix}/{MANIFEST}")
        shutil.rmtree(self._path(prefix), ignore_errors=True)

    def list_folders(self, prefix: str) -> Iterator[str]:
        folder = self._path(prefix)
        if folder.is_dir():
            yield from sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))

    def put_folder(self, prefix: str, folder: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
        target = self._path(prefix)
        # A folder has one writer at a time; what is there is of one that was killed.
        for stale in target.parent.glob(".*.partial"):
            shutil.rmtree(stale, ignore_errors=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            shutil.copytree(folder, partial)
            written = write_manifest(partial, manifest or {})
            shutil.rmtree(target, ignore_errors=True)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return written

    def get_folder(self, prefix: str, folder: Path) -> dict[str, Any]:
        manifest = self.get_manifest(prefix)
        if manifest is None:
            raise NotFound("folder", self.uri(prefix), remedy="make it: it is absent or was never finished")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._path(prefix), folder)
        return manifest

    def get_manifest(self, prefix: str) -> dict[str, Any] | None:
        path = self._path(prefix) / MANIFEST
        return cast("dict[str, Any]", json.loads(path.read_text())) if path.is_file() else None

    def _path(self, key: str) -> Path:
        return self.root / check_key(key.rstrip("/"))


def write_manifest(folder: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """Write manifest.json: `described` plus path, size and sha256 of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    entries = [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": digest_file(path)}
        for path in files
    ]
    manifest = {**described, "files": entries}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    return manifest


def locate(uri: str, settings: Settings) -> tuple[Storage, str]:
    """The storage of an URI and the key within it."""
    if not uri.startswith("s3://"):
        path = Path(uri).expanduser().absolute()
        return FolderStorage(path.parent), path.name
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    chosen = settings.model_copy(update={"object_store_bucket": bucket})
    return ObjectStore.from_settings(chosen), key.rstrip("/")


def fetch_folder(uri: str, settings: Settings, cache: Path, field: str) -> Path:
    """A local folder with the contents of `uri`: itself when it is local, a verified copy in `cache` otherwise.

    Raises InvalidInput, naming `field`, when there is no such folder.
    """
    storage, prefix = locate(uri, settings)
    if isinstance(storage, FolderStorage):
        folder = storage.root / prefix
        if not folder.is_dir():
            rule = "must be a folder or an s3:// URI, and is a file" if folder.exists() else "does not exist"
            raise InvalidInput(field, uri, rule, "name an existing folder or an s3:// URI")
        return folder
    manifest = storage.get_manifest(prefix)
    if manifest is None:
        raise InvalidInput(
            field, uri, "there is no complete folder (no manifest.json)", "upload it again, or check the URI"
        )
    folder = cache / digest_json([uri, manifest])[:16]
    storage.get_folder(prefix, folder)
    return folder
