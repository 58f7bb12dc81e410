"""Folders in the object store: whole or absent, because the manifest is written last.

`manifest.json` is a JSON object whose key "files" lists {path, size, sha256} of every other file;
its other keys belong to whoever wrote the folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.shared.digest import digest_file
from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput, LimaError, NotFound
from services.shared.objects.failures import local_writes
from services.shared.objects.keys import check_key, folder_prefix

if TYPE_CHECKING:
    from services.shared.objects.store import ObjectStore

MANIFEST = "manifest.json"
MAXIMUM_MANIFEST_BYTES = 64 << 20


class FileEntry(BaseModel):
    """One line of a manifest's "files"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def put_folder(
    store: ObjectStore, prefix: str, folder: Path, manifest: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    below = folder_prefix(prefix)
    described = dict((_local_manifest(folder) or {}) if manifest is None else manifest)
    files = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    described["files"] = [
        FileEntry(path=name, size=path.stat().st_size, sha256=digest_file(path)).model_dump()
        for name, path in sorted(files.items())
    ]
    present = get_manifest(store, prefix)
    if present == described:
        return described
    if present is not None:
        # It must be absent while its files change.
        store.delete(below + MANIFEST)
    for name, path in files.items():
        store.put_file(below + name, path)
    text = json.dumps(described, indent=1, ensure_ascii=False, sort_keys=True)
    store.put_bytes(below + MANIFEST, text.encode(), content_type="application/json")
    if present is not None:
        for entry in _entries(store, below, present):
            if entry.path not in files:
                store.delete(below + entry.path)
    return described


def get_folder(store: ObjectStore, prefix: str, folder: Path) -> dict[str, Any]:
    manifest = get_manifest(store, prefix)
    if manifest is None:
        raise NotFound("folder", store.uri(folder_prefix(prefix)), remedy="make it: it is absent or was never finished")
    if _local_manifest(folder) == manifest:
        return manifest
    below = folder_prefix(prefix)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    with local_writes(folder):
        try:
            partial.mkdir(parents=True)
            for entry in _entries(store, below, manifest):
                _fetch(store, below, entry, partial)
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True))
            _put_in_place(partial, folder, manifest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def get_manifest(store: ObjectStore, prefix: str) -> dict[str, Any] | None:
    key = folder_prefix(prefix) + MANIFEST
    try:
        manifest = json.loads(store.get_bytes(key, max_bytes=MAXIMUM_MANIFEST_BYTES))
    except NotFound:
        return None
    except ValueError as error:
        raise _bad_manifest(store.uri(key), "it is not JSON") from error
    if not isinstance(manifest, dict):
        raise _bad_manifest(store.uri(key), "it is not a JSON object")
    return manifest


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise NotFound("local folder", str(folder))
    files: list[Path] = []
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidInput("folder", str(path), "must not hold links that lead out of it")
        if path.is_file() and path != folder / MANIFEST:
            files.append(path)
    return files


def _local_manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidInput("manifest", str(path), "must be JSON") from error
    if not isinstance(manifest, dict):
        raise InvalidInput("manifest", str(path), "must be a JSON object")
    return manifest


def _entries(store: ObjectStore, below: str, manifest: Mapping[str, Any]) -> list[FileEntry]:
    try:
        entries = [FileEntry.model_validate(entry) for entry in manifest["files"]]
        for entry in entries:
            check_key(entry.path, "path")
    except (KeyError, TypeError, ValidationError, InvalidInput) as error:
        raise _bad_manifest(store.uri(below + MANIFEST), "its list of files is not one of ours") from error
    return entries


def _fetch(store: ObjectStore, below: str, entry: FileEntry, partial: Path) -> None:
    target = partial / entry.path
    try:
        store.download(below + entry.path, target)
    except NotFound as error:
        raise _bad_manifest(store.uri(below + MANIFEST), f"{entry.path} is missing") from error
    if target.stat().st_size != entry.size or digest_file(target) != entry.sha256:
        raise _bad_manifest(store.uri(below + MANIFEST), f"{entry.path} is not the file that was written")


def _put_in_place(partial: Path, folder: Path, manifest: dict[str, Any]) -> None:
    try:
        # Replaces an empty folder, never one with files in it.
        os.rename(partial, folder)
    except OSError as error:
        if not folder.is_dir():
            raise
        if _local_manifest(folder) == manifest:
            return  # another program fetched the same folder meanwhile
        raise FailedPrecondition(
            f"{folder} holds other files", remedy="name an empty folder, or delete that one"
        ) from error


def _bad_manifest(uri: str, fault: str) -> LimaError:
    return DataCorrupt(f"{uri}: {fault}", remedy="delete the folder in the store and make it again")
