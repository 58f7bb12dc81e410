"""Objects of a real S3 server, written and read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from services.shared.digest import digest_bytes
from services.shared.errors import (
    Conflict,
    DataCorrupt,
    InvalidInput,
    NotFound,
)
from services.shared.objects import ObjectStore

LARGE = os.urandom(1 << 20) * 40  # three parts


def test_bytes_come_back_with_their_digest(object_store: ObjectStore) -> None:
    written = object_store.put_bytes("a/b.txt", b"hello")
    assert object_store.get_bytes("a/b.txt") == b"hello"
    stat = object_store.stat("a/b.txt")
    assert stat is not None
    assert (stat.size, stat.sha256, stat.etag) == (5, digest_bytes(b"hello"), written.etag)
    assert object_store.key(object_store.uri("a/b.txt")) == "a/b.txt"


def test_an_object_replaced_all_the_while_is_read_as_one_of_its_versions(object_store: ObjectStore) -> None:
    versions = [b"%d" % number * 2000 for number in range(60)]
    object_store.put_bytes("status", versions[0])

    def replace() -> None:
        for version in versions:
            object_store.put_bytes("status", version)

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(replace)
        while not writing.done():
            assert object_store.get_bytes("status") in versions
        writing.result()


def test_an_empty_object_is_an_object(object_store: ObjectStore) -> None:
    object_store.put_bytes("empty", b"")
    assert object_store.get_bytes("empty") == b""


def test_large_files_travel_in_parts_and_streams(object_store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    object_store.put_file("large", tmp_path / "large")
    object_store.download("large", tmp_path / "back" / "large")
    assert (tmp_path / "back" / "large").read_bytes() == LARGE
    with object_store.open("large") as stream:
        assert stream.read(5) == LARGE[:5]
    stat = object_store.stat("large")
    assert stat is not None
    assert stat.etag.endswith("-3")


def test_listing_is_ordered_and_knows_no_folder_markers(object_store: ObjectStore) -> None:
    for key in ("x/b", "x/a/c", "xy"):
        object_store.put_bytes(key, b"1")
    object_store._client.put_object(object_store.bucket, "x/marker/", Empty(), 0)
    assert [info.key for info in object_store.list("x/")] == ["x/a/c", "x/b"]
    assert [info.key for info in object_store.list()] == ["x/a/c", "x/b", "xy"]
    assert set(object_store.list_folders("x")) >= {"a"}


class Empty:
    def read(self, count: int = -1) -> bytes:
        return b""


def test_absent_objects_are_told(object_store: ObjectStore, tmp_path: Path) -> None:
    assert object_store.stat("none") is None
    for read in (object_store.get_bytes, lambda key: object_store.download(key, tmp_path / "x")):
        with pytest.raises(NotFound, match="s3://"):
            read("none")
    object_store.delete("none")


def test_a_read_is_bounded(object_store: ObjectStore) -> None:
    object_store.put_bytes("big", b"x" * 100)
    with pytest.raises(InvalidInput, match="at most 10 bytes"):
        object_store.get_bytes("big", max_bytes=10)


def test_another_buckets_uri_is_refused(object_store: ObjectStore) -> None:
    with pytest.raises(InvalidInput, match="must be in bucket"):
        object_store.key("s3://elsewhere/key")


def test_changed_bytes_are_noticed(object_store: ObjectStore, tmp_path: Path) -> None:
    client, bucket = object_store._client, object_store.bucket
    object_store.put_bytes("k", b"good")
    with (tmp_path / "bad").open("w+b") as bad:
        bad.write(b"evil")
        bad.seek(0)
        client.put_object(bucket, "k", bad, 4, metadata={"sha256": digest_bytes(b"good")})
    with pytest.raises(DataCorrupt):
        object_store.get_bytes("k")
    with pytest.raises(DataCorrupt):
        object_store.download("k", tmp_path / "target")
    assert list(tmp_path.iterdir()) == [tmp_path / "bad"]


def test_an_object_of_another_program_has_no_digest_but_is_read(object_store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"foreign")
    object_store.put_bytes("first", b"")
    object_store._client.fput_object(object_store.bucket, "foreign", str(tmp_path / "f"))
    assert object_store.get_bytes("foreign") == b"foreign"


def test_a_replaced_object_is_never_read_as_a_mixture(object_store: ObjectStore) -> None:
    object_store.put_bytes("k", LARGE)
    with object_store.open("k") as stream:
        object_store.put_bytes("k", b"new")
        # Whatever was read ahead is the old object's; going on must fail or give the old bytes.
        with suppress(Conflict, DataCorrupt, NotFound):
            assert stream.read() == LARGE
