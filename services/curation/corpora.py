"""Corpora: what the user put into the store, immutable and named by its content.

    corpora/<name>/<digest>/<files>   manifest.json last

A 7z archive becomes one `.zst` for each XML file in it, once, at import; other files are kept as they came. For a build
the files are fetched to the local disk, verified, and decoded.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from services.curation.archives import compress_zst, decode_file, decoded_name, extract_7z, is_7z, is_compressed
from services.curation.build import LocalCorpus
from services.curation.sources.source import CorpusFile
from services.curation.web import Web, is_web
from services.shared.digest import digest_file, digest_json
from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import MANIFEST, ObjectStore

PREFIX = "corpora"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Site names that archives of the network carry: "coffee.stackexchange.com.7z", "stackoverflow.com-Posts.7z".
_SITE_ARCHIVE = re.compile(r"^(?P<site>[a-z0-9.-]+?\.[a-z]{2,})(?:-(?P<table>[A-Za-z]+))?\.7z$", re.IGNORECASE)


def unheard(stage: str, done: int, total: int) -> None:
    """A report that nobody hears."""


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """One immutable corpus in the store."""

    name: str
    digest: str
    uri: str
    file_count: int
    size_bytes: int
    created: datetime


@dataclass(frozen=True, slots=True)
class Corpora:
    """`local` is a folder for fetched files; `roots` are folders of this machine that may be imported from."""

    store: ObjectStore
    local: Path
    roots: tuple[Path, ...] = ()
    max_decoded_bytes: int = 1 << 40
    web: Web = field(default_factory=Web)

    def find(self, name: str, digest: str = "") -> CorpusInfo:
        """A corpus by name: the newest, or that with the digest. Raises NotFound."""
        found = [info for info in self.versions(name) if info.digest.startswith(digest)]
        if not found:
            raise NotFound("corpus", name, remedy=f"Import it: lima import {name} FOLDER")
        return max(found, key=lambda info: (info.created, info.digest))

    def names(self) -> list[str]:
        return sorted(self.store.list_folders(PREFIX))

    def versions(self, name: str) -> Iterator[CorpusInfo]:
        if not NAME.fullmatch(name):
            raise InvalidInput("corpus", name, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
        for digest in sorted(self.store.list_folders(f"{PREFIX}/{name}")):
            manifest = self.store.get_manifest(f"{PREFIX}/{name}/{digest}")
            if manifest is not None:
                yield self._info(name, digest, manifest)

    def add(self, name: str, source_uri: str, report: Callable[[str, int, int], None]) -> CorpusInfo:
        """Import the files below an s3:// prefix of the store, below an allowed web address, or in an allowed folder.

        Importing the same files again gives the same corpus. Raises InvalidInput, NotFound, ArchiveDamaged.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput("corpus_id", name, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
        self.local.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=self.local) as work:
            staged = Path(work) / "files"
            staged.mkdir()
            self._stage(source_uri, staged, report)
            _open_archives(staged, Path(work), self.max_decoded_bytes, report)
            return self.put(name, staged, report)

    def _stage(self, source_uri: str, staged: Path, report: Callable[[str, int, int], None]) -> None:
        if is_web(source_uri):
            self.web.fetch(source_uri, staged, report)
            return
        if not source_uri.startswith("s3://"):
            self._copy_folder(source_uri, staged)
            return
        prefix = self.store.key(source_uri).rstrip("/")
        keys = [info.key for info in self.store.list(f"{prefix}/")] or [info.key for info in self.store.list(prefix)]
        keys = [key for key in keys if not key.endswith(f"/{MANIFEST}")]
        if not keys:
            raise NotFound("prefix with files", source_uri, remedy="Upload files there first, or use lima import.")
        for place, key in enumerate(keys):
            report("fetching", place, len(keys))
            below = key.removeprefix(f"{prefix}/") if key != prefix else PurePosixPath(key).name
            self.store.download(key, staged / below)

    def _copy_folder(self, source: str, staged: Path) -> None:
        path = Path(source.removeprefix("file://")).resolve()
        if not any(path.is_relative_to(root.resolve()) for root in self.roots):
            raise InvalidInput(
                "source_uri",
                source,
                "must be s3://bucket/prefix, an http(s) address, or a folder below a root that the server allows",
                "Upload the folder with lima import, or start the server with LIMA_CURATION_IMPORT_ROOTS.",
            )
        if not path.is_dir():
            raise NotFound("folder", source)
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.is_symlink():
                target = staged / file.relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)

    def put(self, name: str, staged: Path, report: Callable[[str, int, int], None] = unheard) -> CorpusInfo:
        """Store the files of a folder as a corpus, unless it is there already."""
        files = {path.relative_to(staged).as_posix(): path for path in sorted(staged.rglob("*")) if path.is_file()}
        digest = digest_json({relative: digest_file(path) for relative, path in files.items()})
        prefix = f"{PREFIX}/{name}/{digest}"
        manifest = self.store.get_manifest(prefix)
        if manifest is None:
            report("storing", 0, len(files))
            created = datetime.now(UTC).isoformat(timespec="milliseconds")
            manifest = self.store.put_folder(
                prefix, staged, {"kind": "corpus", "name": name, "digest": digest, "created": created}
            )
        return self._info(name, digest, manifest)

    def _info(self, name: str, digest: str, manifest: dict[str, Any]) -> CorpusInfo:
        files = manifest["files"]
        return CorpusInfo(
            name=name,
            digest=digest,
            uri=self.store.uri(f"{PREFIX}/{name}/{digest}"),
            file_count=len(files),
            size_bytes=sum(entry["size"] for entry in files),
            created=datetime.fromisoformat(manifest["created"]),
        )

    def fetch(self, name: str, digest: str) -> LocalCorpus:
        """The corpus on the local disk, verified and decoded; kept there for later builds."""
        folder = self.local / name / digest
        with _one_at_a_time(str(folder)):
            manifest = self.store.get_folder(f"{PREFIX}/{name}/{digest}", folder)
            decoded = self.local / name / f"{digest}.decoded"
            files = [self._local_file(folder, decoded, entry["path"], entry["sha256"]) for entry in manifest["files"]]
        return LocalCorpus(name, digest, tuple(files))

    def _local_file(self, folder: Path, decoded: Path, name: str, sha256: str) -> CorpusFile:
        if not is_compressed(name):
            return CorpusFile(name, folder / name, sha256)
        plain = decoded / decoded_name(name)
        if not plain.is_file():
            plain.parent.mkdir(parents=True, exist_ok=True)
            decode_file(folder / name, name, plain, self.max_decoded_bytes)
        return CorpusFile(decoded_name(name), plain, sha256)


_LOCKS: dict[str, threading.Lock] = {}
_LOCKS_GUARD = threading.Lock()


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """Two builds in one program must not decode the same file over each other."""
    with _LOCKS_GUARD:
        lock = _LOCKS.setdefault(name, threading.Lock())
    with lock:
        yield


def _open_archives(staged: Path, work: Path, max_bytes: int, report: Callable[[str, int, int], None]) -> None:
    """Replace each 7z archive by the Zstandard files of its members, below a folder named after the site."""
    archives = [path for path in sorted(staged.rglob("*")) if is_7z(path.name)]
    for place, archive in enumerate(archives):
        report("decoding archives", place, len(archives))
        unpacked = work / "unpacked"
        members = extract_7z(archive, archive.name, unpacked, max_bytes)
        named = _SITE_ARCHIVE.match(archive.name)
        target = archive.parent / (named["site"] if named else archive.stem)
        target.mkdir(exist_ok=True)
        for member in members:
            compress_zst(member, target / f"{member.name}.zst")
        shutil.rmtree(unpacked)
        archive.unlink()
