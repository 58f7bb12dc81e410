"""Uploads in the background: training goes on while a checkpoint travels."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.shared.errors import FailedPrecondition, LimaError
from training_jobs.storage import Storage

# How long a folder's upload is tried again before the run stops: a run that cannot save is worth nothing.
RETRY_SECONDS = 900.0
# Of the uploading thread: it gets about a tenth of a processor that training wants whole.
NICENESS = 10
_log = structlog.get_logger()


def _give_way() -> None:
    """Let this thread, and those that it starts, take only the processor time that training leaves.

    An upload hashes and copies all that it sends; a training thread that waits for its processor holds up all others.
    """
    if sys.platform == "linux":
        # There alone a thread has a niceness of its own.
        mine = threading.get_native_id()
        # Never less nice than it is: that takes privileges.
        os.setpriority(os.PRIO_PROCESS, mine, max(NICENESS, os.getpriority(os.PRIO_PROCESS, mine)))


@dataclass
class _Folder:
    prefix: str
    folder: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    then: Callable[[], None] | None = None
    keep: bool = False


class Uploader:
    """One thread, first in first out. Small objects written again before they left are sent once, newest wins."""

    def __init__(self, storage: Storage, retry_seconds: float | None = None) -> None:
        self._storage = storage
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._small: dict[str, bytes] = {}
        self._folders: list[_Folder] = []
        self._busy = False
        self._closing = False
        self._error: LimaError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="uploader", daemon=True)
        self._thread.start()

    def put_bytes(self, key: str, data: bytes) -> None:
        with self._changed:
            self._small[key] = data
            self._changed.notify_all()

    def put_folder(
        self,
        prefix: str,
        folder: Path,
        manifest: dict[str, Any],
        then: Callable[[], None] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """Upload a folder, then call `then`; the local folder is removed unless `keep`."""
        with self._changed:
            self._folders.append(_Folder(prefix, folder, manifest, then, keep))
            self._changed.notify_all()

    @property
    def error(self) -> LimaError | None:
        """Why uploads have been given up, if they have."""
        return self._error

    def drain(self) -> None:
        """Wait until everything has left. Raises the error that stopped uploads."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._small or self._folders or self._busy))
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Send what is left and end the thread; never raises."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        _give_way()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._small or self._folders or self._closing)
                if not (self._small or self._folders):
                    return
                small, self._small = self._small, {}
                folder = self._folders.pop(0) if self._folders and not self._error else None
                if self._error:
                    self._folders.clear()
                self._busy = True
            for key, data in small.items():
                self._send_small(key, data)
            if folder is not None:
                self._send_folder(folder)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _send_small(self, key: str, data: bytes) -> None:
        try:
            self._storage.put_bytes(key, data)
        except (LimaError, OSError) as error:
            # The next write of the same object carries everything that this one held.
            _log.warning("upload_failed", key=key, error=str(error))

    def _send_folder(self, job: _Folder) -> None:
        deadline = time.monotonic() + self._retry_seconds
        pause = 1.0
        while True:
            try:
                self._storage.put_folder(job.prefix, job.folder, job.manifest)
                if job.then is not None:
                    job.then()
                break
            except (LimaError, OSError) as error:
                if time.monotonic() + pause > deadline:
                    self._error = FailedPrecondition(
                        f"{self._storage.uri(job.prefix)} could not be written: {error}",
                        "free some space or mend the object store, then start the same run again: it continues",
                    )
                    return
                _log.warning("upload_retried", prefix=job.prefix, error=str(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, timeout=pause)
                pause = min(pause * 2, 15.0)
        if not job.keep:
            shutil.rmtree(job.folder, ignore_errors=True)
