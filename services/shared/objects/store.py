"""ObjectStore: see the package's docstring for how it is used."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from services.shared.digest import digest_bytes, digest_file
from services.shared.errors import Conflict, InvalidInput, LimaError, Unavailable
from services.shared.objects import folders
from services.shared.objects.connections import http_pool
from services.shared.objects.failures import is_absent, local_writes, missing_bucket, not_s3, told_plainly
from services.shared.objects.keys import SCHEME, check_key, check_prefix, folder_prefix, split_uri
from services.shared.objects.reader import ObjectReader
from services.shared.settings import Settings

PART_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20
DIGEST_HEADER = "x-amz-meta-sha256"


@dataclass(frozen=True)
class ObjectInfo:
    """What the store says of one object; listings do not tell `sha256`."""

    key: str
    size: int
    etag: str
    sha256: str | None = None
    modified: datetime | None = None


class ObjectStore:
    """One bucket of one S3 endpoint. Safe to share between threads."""

    def __init__(self, client: Minio, settings: Settings) -> None:
        self.bucket = settings.object_store_bucket
        self.endpoint = settings.object_store_endpoint
        self._client = client
        self._region = settings.object_store_region
        self._attempts = settings.object_store_attempts
        self._create_bucket = settings.object_store_create_bucket
        self._bucket_checked = False
        self._bucket_lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> ObjectStore:
        """Opens no connection yet; the first use finds or creates the bucket."""
        endpoint = urlsplit(settings.object_store_endpoint)
        client = Minio(
            endpoint.netloc,
            access_key=settings.object_store_access_key,
            secret_key=settings.object_store_secret_key.get_secret_value(),
            secure=endpoint.scheme == "https",
            region=settings.object_store_region,
            http_client=http_pool(settings),
        )
        return cls(client, settings)

    def uri(self, key: str) -> str:
        return f"{SCHEME}{self.bucket}/{check_prefix(key)}"

    def key(self, uri: str) -> str:
        """The key of a URI of this bucket. Raises InvalidInput for another bucket's."""
        bucket, key = split_uri(uri)
        if bucket != self.bucket:
            raise InvalidInput(
                "uri", uri, f"must be in bucket {self.bucket!r}", f"copy it to s3://{self.bucket}/ first"
            )
        return key

    def put_bytes(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> ObjectInfo:
        return self._put(key, io.BytesIO(data), len(data), digest_bytes(data), content_type)

    def put_file(self, key: str, path: Path | str, content_type: str = "application/octet-stream") -> ObjectInfo:
        """Upload a file, in parallel parts when it is large; a failed upload leaves no object."""
        sha256 = digest_file(path)
        with Path(path).open("rb") as file:
            return self._put(key, file, os.fstat(file.fileno()).st_size, sha256, content_type)

    def get_bytes(self, key: str, max_bytes: int = 64 << 20) -> bytes:
        """The verified bytes of an object. Raises NotFound, and InvalidInput beyond `max_bytes`.

        An object that a writer replaces all the while, as a status, is read as one of its versions.
        """
        left = self._attempts
        while True:
            left -= 1
            try:
                with self._open(key) as (info, reader):
                    if info.size > max_bytes:
                        rule = f"must be at most {max_bytes} bytes; it has {info.size}"
                        raise InvalidInput("object", self.uri(key), rule)
                    return reader.read()
            except Conflict:
                if not left:
                    raise

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """A stream of the object's bytes; reading to the end raises DataCorrupt if they are not what was written."""
        with self._open(key) as (_, reader):
            yield reader

    def download(self, key: str, path: Path | str) -> ObjectInfo:
        """Write the verified object to `path`, whole or not at all."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        with local_writes(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._open(key) as (info, reader), partial.open("wb") as file:
                    shutil.copyfileobj(reader, file, CHUNK_BYTES)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
        return info

    def stat(self, key: str) -> ObjectInfo | None:
        self.find_bucket()
        with told_plainly(self.endpoint, self.bucket, key):
            try:
                found = self._client.stat_object(self.bucket, check_key(key))
            except S3Error as error:
                if is_absent(error):
                    return None
                raise
        return self._info(key, found.metadata or {})

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in key order, without zero-byte folder markers."""
        self.find_bucket()
        with told_plainly(self.endpoint, self.bucket, prefix):
            for found in self._client.list_objects(self.bucket, check_prefix(prefix), recursive=True):
                if not found.object_name.endswith("/"):
                    yield ObjectInfo(
                        found.object_name, found.size or 0, (found.etag or "").strip('"'), None, found.last_modified
                    )

    def list_folders(self, prefix: str = "") -> Iterator[str]:
        """The names of the folders directly below a folder, without slashes: one request, however deep they are."""
        self.find_bucket()
        below = folder_prefix(prefix) if prefix else ""
        with told_plainly(self.endpoint, self.bucket, prefix):
            for found in self._client.list_objects(self.bucket, below, recursive=False):
                name = found.object_name.removeprefix(below)
                if name.endswith("/") and name != "/":
                    yield name.removesuffix("/")

    def delete(self, key: str) -> None:
        """Delete an object; one that is absent already is no error."""
        self.find_bucket()
        with told_plainly(self.endpoint, self.bucket, key):
            self._client.remove_object(self.bucket, check_key(key))

    def delete_prefix(self, prefix: str) -> int:
        """Delete everything below a folder, its manifest first so that it is absent at once. Returns the count."""
        below = folder_prefix(prefix)
        self.delete(below + folders.MANIFEST)
        keys = [info.key for info in self.list(below)]
        with told_plainly(self.endpoint, self.bucket, prefix):
            failures = list(self._client.remove_objects(self.bucket, map(DeleteObject, keys)))
        if failures:
            raise Unavailable(
                f"{len(failures)} objects below {self.uri(below)} were not deleted: {failures[0].message}",
                remedy="run this again",
            )
        return len(keys)

    def put_folder(self, prefix: str, folder: Path | str, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Upload a folder's files, then manifest.json: `manifest` (or the folder's own) plus the list of files."""
        return folders.put_folder(self, prefix, Path(folder), manifest)

    def get_folder(self, prefix: str, folder: Path | str) -> dict[str, Any]:
        """Fetch a folder, verified against its manifest, whole or not at all; kept if it is there already."""
        return folders.get_folder(self, prefix, Path(folder))

    def get_manifest(self, prefix: str) -> dict[str, Any] | None:
        """The manifest of a complete folder, or None while there is none."""
        return folders.get_manifest(self, prefix)

    def _put(self, key: str, data: BinaryIO, size: int, sha256: str, content_type: str) -> ObjectInfo:
        self.find_bucket()
        with told_plainly(self.endpoint, self.bucket, key):
            result = self._client.put_object(
                self.bucket,
                check_key(key),
                data,
                size,
                content_type=content_type,
                metadata={"sha256": sha256},
                part_size=PART_BYTES,
            )
        return ObjectInfo(key, size, (result.etag or "").strip('"'), sha256)

    @contextmanager
    def _open(self, key: str) -> Iterator[tuple[ObjectInfo, BinaryIO]]:
        # One answer tells size, digest and bytes: asked for one after the other, they could be two versions'.
        first = self._get(key)
        try:
            info = self._info(key, first.headers)
        except LimaError:
            first.close()
            raise

        def resume(offset: int) -> Any:
            return self._get(key, offset, {"If-Match": f'"{info.etag}"'})

        raw = ObjectReader(self.uri(key), first, resume, size=info.size, sha256=info.sha256, attempts=self._attempts)
        with io.BufferedReader(raw, CHUNK_BYTES) as reader:
            yield info, reader

    def _get(self, key: str, offset: int = 0, headers: dict[str, Any] | None = None) -> Any:
        self.find_bucket()
        with told_plainly(self.endpoint, self.bucket, key):
            return self._client.get_object(self.bucket, check_key(key), offset=offset, request_headers=headers)

    def _info(self, key: str, headers: Mapping[str, Any]) -> ObjectInfo:
        """What the headers of an answer say of an object."""
        told = {name.lower(): value for name, value in headers.items()}
        try:
            modified = parsedate_to_datetime(told["last-modified"])
            etag, size = told["etag"].strip('"'), int(told["content-length"])
        except (KeyError, ValueError):
            raise not_s3(self.endpoint) from None
        return ObjectInfo(key, size, etag, told.get(DIGEST_HEADER), modified)

    def find_bucket(self) -> None:
        """Find the bucket, or create it if that is allowed. Every other method does this by itself."""
        if self._bucket_checked:
            return
        with self._bucket_lock, told_plainly(self.endpoint, self.bucket):
            if self._bucket_checked:
                return
            if not self._client.bucket_exists(self.bucket):
                if not self._create_bucket:
                    raise missing_bucket(self.endpoint, self.bucket)
                self._make_bucket()
            self._bucket_checked = True

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self.bucket, self._region)
        except S3Error as error:
            # Another program may have been faster.
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
