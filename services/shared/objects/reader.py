"""Reading one object as a stream that survives broken connections and checks itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import urllib3

from services.shared.errors import DataCorrupt, Unavailable

# Opens the same version of the object from an offset on.
Resume = Callable[[int], Any]


class ObjectReader(io.RawIOBase):
    """A forward-only reader of one version of one object.

    At the end of the data it raises DataCorrupt unless length and digest are what was written; a
    caller that stops early gets no such promise. A connection that breaks in the middle is
    replaced by one that goes on from there, at most `attempts` times in all.
    """

    def __init__(self, uri: str, first: Any, resume: Resume, *, size: int, sha256: str | None, attempts: int) -> None:
        self._uri = uri
        self._resume = resume
        self._size = size
        self._sha256 = sha256
        self._attempts = attempts
        self._hash = hashlib.sha256()
        self._offset = 0
        self._response = first

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._offset == self._size:
            self._verify()
            return 0
        data = self._read(min(len(buffer), self._size - self._offset))
        buffer[: len(data)] = data
        self._hash.update(data)
        self._offset += len(data)
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, count: int) -> bytes:
        while True:
            try:
                if self._response is None:
                    self._response = self._resume(self._offset)
                # As stored: an object with a Content-Encoding has the size and digest of its encoded bytes.
                data: bytes = self._response.read(count, decode_content=False)
                if data:
                    return data
                problem: Exception = EOFError("the connection ended early")
            except (urllib3.exceptions.HTTPError, OSError) as error:
                problem = error
            self._drop()
            self._attempts -= 1
            if self._attempts <= 0:
                raise Unavailable(
                    f"reading {self._uri} broke off after {self._offset} of {self._size} bytes: {problem}",
                    remedy="check the network to the object store, then run this again",
                    retry_seconds=5,
                ) from problem

    def _verify(self) -> None:
        if self._sha256 is not None and self._hash.hexdigest() != self._sha256:
            raise corrupt(self._uri)

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response.release_conn()
            self._response = None


def corrupt(uri: str) -> DataCorrupt:
    return DataCorrupt(
        f"{uri} does not hold the bytes that were written: its SHA-256 differs",
        remedy="delete it and make it again; then check the disks of the object store",
    )
