"""The object store against a real S3 server, a proxy that breaks connections, and a full disk."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.shared.digest import digest_bytes
from services.shared.errors import (
    Conflict,
    DataCorrupt,
    DiskFull,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from services.shared.objects import MANIFEST, ObjectStore
from services.shared.settings import Settings

LARGE = os.urandom(1 << 20) * 40  # three parts


def changed(settings: Settings, **changes: Any) -> ObjectStore:
    return ObjectStore.from_settings(settings.model_copy(update=changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "weights.bin").write_bytes(b"weights")
    (made / "deep" / "한글 name.txt").write_text("text")
    (made / "empty").touch()
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


def test_folders_are_whole(object_store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    manifest = object_store.put_folder("models/m/v1", folder, {"base": "smollm2"})
    assert [entry["path"] for entry in manifest["files"]] == ["deep/한글 name.txt", "empty", "weights.bin"]
    target = tmp_path / "got"
    assert object_store.get_folder("models/m/v1", target) == manifest
    assert contents(target) == contents(folder) | {MANIFEST: (target / MANIFEST).read_bytes()}
    assert object_store.get_manifest("models/m/v1/") == manifest
    # Fetched again it is left alone; put again from the copy it is the same.
    (target / "weights.bin").chmod(0o400)
    object_store.get_folder("models/m/v1", target)
    assert object_store.put_folder("models/m/v2", target) == manifest


def test_a_folder_that_is_put_again_holds_what_its_manifest_says(
    object_store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    object_store.put_folder("m", folder, {"round": 1})
    (folder / "weights.bin").rename(folder / "better.bin")
    object_store.put_folder("m", folder, {"round": 2})
    assert [info.key for info in object_store.list("m/")] == [
        "m/better.bin",
        "m/deep/한글 name.txt",
        "m/empty",
        f"m/{MANIFEST}",
    ]
    assert object_store.get_folder("m", tmp_path / "got")["round"] == 2


def test_a_folder_without_its_manifest_is_absent(object_store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    object_store.put_folder("m", folder)
    object_store.delete(f"m/{MANIFEST}")
    assert object_store.get_manifest("m") is None
    with pytest.raises(NotFound, match="never finished"):
        object_store.get_folder("m", tmp_path / "got")
    assert object_store.delete_prefix("m") == 3
    assert list(object_store.list("m/")) == []


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_a_damaged_folder_is_noticed_and_nothing_is_left(
    object_store: ObjectStore, folder: Path, tmp_path: Path, damage: str
) -> None:
    object_store.put_folder("m", folder)
    if damage == "missing":
        object_store.delete("m/weights.bin")
    else:
        object_store.put_bytes("m/weights.bin", b"others!")
    with pytest.raises(DataCorrupt, match=r"weights\.bin"):
        object_store.get_folder("m", tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "manifest",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"files": 3}',
        b'{"files": [{"path": "../../evil", "size": 1, "sha256": "' + b"0" * 64 + b'"}]}',
        b'{"files": [{"path": "/etc/passwd", "size": 1, "sha256": "' + b"0" * 64 + b'"}]}',
    ],
)
def test_foreign_manifests_are_refused(object_store: ObjectStore, tmp_path: Path, manifest: bytes) -> None:
    object_store.put_bytes(f"m/{MANIFEST}", manifest)
    with pytest.raises(DataCorrupt):
        object_store.get_folder("m", tmp_path / "got")
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_with_other_files_is_not_overwritten(
    object_store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    object_store.put_folder("m", folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(FailedPrecondition, match="other files"):
        object_store.get_folder("m", mine)
    assert contents(mine) == {"thesis.txt": b"years of work"}


def test_links_out_of_a_folder_are_refused(object_store: ObjectStore, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="lead out"):
        object_store.put_folder("m", folder)


def test_an_upload_that_fails_leaves_no_manifest(
    object_store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = object_store.put_file

    def fail_at_the_second(key: str, path: Path) -> Any:
        if key.endswith("empty"):
            raise Unavailable("gone")
        return put_file(key, path)

    monkeypatch.setattr(object_store, "put_file", fail_at_the_second)
    with pytest.raises(Unavailable):
        object_store.put_folder("m", folder)
    assert object_store.get_manifest("m") is None


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="/dev/full, where every write finds the disk full, is missing"
)
def test_a_full_disk_is_told_and_nothing_is_left(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store.put_bytes("k", b"x" * 100)
    # The temporary file's name is drawn: with a known one, a link leads its bytes to the full device.
    monkeypatch.setattr(secrets, "token_hex", lambda count: "known")
    (tmp_path / ".target.known.partial").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="no space left") as failure:
        object_store.download("k", tmp_path / "target")
    assert failure.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_does_not_answer_is_named(settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        store = changed(settings, object_store_endpoint=endpoint, object_store_attempts=2)
        with pytest.raises(Unavailable, match=endpoint) as failure:
            store.put_bytes("k", b"")
    assert "LIMA_OBJECT_STORE_ENDPOINT" in failure.value.remedy


def test_an_endpoint_that_is_no_s3_server_is_told(settings: Settings) -> None:
    with answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    ) as endpoint:
        store = changed(settings, object_store_endpoint=endpoint, object_store_attempts=1)
        with pytest.raises(FailedPrecondition, match="not as an S3 server"):
            store.get_bytes("k")


def test_wrong_credentials_are_told(settings: Settings, object_store: ObjectStore) -> None:
    object_store.put_bytes("k", b"")
    for changes in ({"object_store_secret_key": SecretStr("wrong")}, {"object_store_access_key": "nobody"}):
        with pytest.raises(PermissionDenied, match="refused the credentials") as failure:
            changed(settings, **changes).get_bytes("k")
        assert "LIMA_OBJECT_STORE_SECRET_KEY" in failure.value.remedy


def test_a_missing_bucket_is_created_only_if_allowed(settings: Settings) -> None:
    forbidden = changed(settings, object_store_create_bucket=False)
    with pytest.raises(FailedPrecondition, match="no bucket"):
        forbidden.stat("k")
    changed(settings).put_bytes("k", b"")
    assert forbidden.stat("k") is not None


def test_writers_that_start_at_once_agree_on_the_bucket(settings: Settings) -> None:
    stores = [changed(settings) for _ in range(8)]
    threads = [
        threading.Thread(target=store.put_bytes, args=(f"k{number}", b"")) for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(stores[0].list("k"))) == 8


def test_a_connection_that_breaks_is_taken_up_where_it_broke(settings: Settings, object_store: ObjectStore) -> None:
    object_store.put_bytes("large", LARGE)
    with proxy(settings.object_store_endpoint, after=15 << 20) as endpoint:
        store = changed(settings, object_store_endpoint=endpoint, object_store_attempts=5)
        assert store.get_bytes("large") == LARGE


def test_a_connection_that_always_breaks_is_told(settings: Settings, object_store: ObjectStore, tmp_path: Path) -> None:
    object_store.put_bytes("large", LARGE)
    with proxy(settings.object_store_endpoint, after=1 << 20) as endpoint:
        store = changed(settings, object_store_endpoint=endpoint, object_store_attempts=3)
        with pytest.raises(Unavailable, match="broke off after"):
            store.download("large", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_slow_to_take_an_upload_is_waited_for(settings: Settings) -> None:
    with proxy(settings.object_store_endpoint, pause=0.5) as endpoint:
        store = changed(
            settings, object_store_endpoint=endpoint, object_store_connect_seconds=0.2, object_store_attempts=1
        )
        store.put_bytes("large", LARGE[: 16 << 20])
        assert store.get_bytes("large") == LARGE[: 16 << 20]


def test_a_replaced_object_is_never_read_as_a_mixture(object_store: ObjectStore) -> None:
    object_store.put_bytes("k", LARGE)
    with object_store.open("k") as stream:
        object_store.put_bytes("k", b"new")
        # Whatever was read ahead is the old object's; going on must fail or give the old bytes.
        with suppress(Conflict, DataCorrupt, NotFound):
            assert stream.read() == LARGE


def test_manifests_are_json_for_everybody(object_store: ObjectStore, folder: Path) -> None:
    object_store.put_folder("m", folder, {"name": "한글"})
    assert json.loads(object_store.get_bytes(f"m/{MANIFEST}"))["name"] == "한글"


@contextmanager
def answering(response: bytes) -> Iterator[str]:
    """A server that gives every request the same bytes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(response)

    with _listening(serve) as endpoint:
        yield endpoint


@contextmanager
def proxy(endpoint: str, after: int = 1 << 40, pause: float = 0) -> Iterator[str]:
    """A proxy to a real S3 server: it pauses before it reads, and closes connections after so many bytes of answers."""
    host, _, port = endpoint.removeprefix("http://").partition(":")

    def serve(connection: socket.socket) -> None:
        with socket.create_connection((host, int(port))) as upstream:
            time.sleep(pause)
            threading.Thread(target=_pump, args=(connection, upstream, 1 << 40), daemon=True).start()
            _pump(upstream, connection, after)

    with _listening(serve) as address:
        yield address


def _pump(source: socket.socket, target: socket.socket, limit: int) -> None:
    try:
        while limit > 0 and (data := source.recv(min(65536, limit))):
            target.sendall(data)
            limit -= len(data)
    except OSError:
        pass


@contextmanager
def _listening(serve: Any) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def handle(connection: socket.socket) -> None:
            with connection:
                serve(connection)
                connection.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=handle, args=(connection,), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
