"""A store that does not answer, breaks connections, or finds the disk full."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.shared.errors import (
    DiskFull,
    FailedPrecondition,
    PermissionDenied,
    Unavailable,
)
from services.shared.objects import ObjectStore
from services.shared.settings import Settings

LARGE = os.urandom(1 << 20) * 40  # three parts


def changed(settings: Settings, **changes: Any) -> ObjectStore:
    return ObjectStore.from_settings(settings.model_copy(update=changes))


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
