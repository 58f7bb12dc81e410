"""How a run's results leave in the background, and how that fails."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.shared.errors import FailedPrecondition, Unavailable
from training_jobs.storage import FolderStorage
from training_jobs.store_sync import NICENESS, Uploader


class FullStorage(FolderStorage):
    """Refuses folders until `attempts` have failed, as a full disk that somebody tidies."""

    def __init__(self, root: Path, attempts: int) -> None:
        super().__init__(root)
        self.attempts = attempts

    def put_folder(self, prefix: str, folder: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.attempts -= 1
        if self.attempts >= 0:
            raise Unavailable("no space left in the store")
        return super().put_folder(prefix, folder, manifest)


def uploaded(tmp_path: Path, attempts: int, retry_seconds: float) -> tuple[Uploader, FullStorage]:
    storage = FullStorage(tmp_path / "store", attempts)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a").write_text("a")
    uploader = Uploader(storage, retry_seconds)
    uploader.put_folder("state/step-000001", tmp_path / "work", {"step": 1})
    return uploader, storage


def test_an_upload_is_tried_again(tmp_path: Path) -> None:
    uploader, storage = uploaded(tmp_path, attempts=1, retry_seconds=30)
    uploader.drain()
    uploader.close()
    assert storage.get_manifest("state/step-000001") is not None
    assert not (tmp_path / "work").exists()


def test_an_upload_that_never_arrives_stops_the_run_and_leaves_nothing_half(tmp_path: Path) -> None:
    uploader, storage = uploaded(tmp_path, attempts=1000, retry_seconds=0)
    with pytest.raises(FailedPrecondition, match="could not be written: no space left"):
        uploader.drain()
    uploader.close()
    assert isinstance(uploader.error, FailedPrecondition)
    assert storage.get_manifest("state/step-000001") is None
    assert (tmp_path / "work" / "a").exists()


def test_small_objects_are_sent_newest_last(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    others = set(threading.enumerate())
    uploader = Uploader(storage)
    for number in range(100):
        uploader.put_bytes("status.json", str(number).encode())
    senders = [thread for thread in threading.enumerate() if thread not in others and thread.name == "uploader"]
    uploader.drain()
    uploader.close()
    assert storage.get_bytes("status.json") == b"99"
    assert len(senders) == 1


class NicenessStorage(FolderStorage):
    niceness: int | None = None

    def put_bytes(self, key: str, data: bytes) -> None:
        self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux alone")
def test_uploads_give_way_to_training(tmp_path: Path) -> None:
    storage = NicenessStorage(tmp_path)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    uploader = Uploader(storage)
    uploader.put_bytes("status.json", b"")
    uploader.drain()
    uploader.close()
    assert storage.niceness == max(before, NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
