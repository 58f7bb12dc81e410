"""Keys waiting for work: each once, never two workers at one key, failures later and later."""

from __future__ import annotations

import heapq
import threading
import time

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 60.0


class WorkQueue:
    """A key added while it is worked on is worked on again afterwards, so no change is lost."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._working: set[str] = set()
        self._failures: dict[str, int] = {}
        self._closed = False

    def add(self, key: str, after_seconds: float = 0.0) -> None:
        """Work on `key` at that time, or sooner where it waits already."""
        due = time.monotonic() + after_seconds
        with self._wake:
            if key not in self._due or due < self._due[key]:
                self._due[key] = due
                heapq.heappush(self._heap, (due, key))
                self._wake.notify()

    def retry(self, key: str) -> float:
        """Work on `key` again after a pause that doubles with every failure in a row; returns the pause."""
        with self._wake:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
        pause = min(FIRST_BACKOFF_SECONDS * 2.0**failures, LONGEST_BACKOFF_SECONDS)
        self.add(key, pause)
        return pause

    def forgive(self, key: str) -> None:
        with self._wake:
            self._failures.pop(key, None)

    def get(self) -> str | None:
        """The next key that is due and not worked on; blocks. None once the queue is closed."""
        with self._wake:
            while not self._closed:
                key = self._take()
                if key is not None:
                    self._working.add(key)
                    return key
                self._wake.wait(self._pause())
            return None

    def done(self, key: str) -> None:
        with self._wake:
            self._working.discard(key)
            if key in self._due:
                heapq.heappush(self._heap, (self._due[key], key))
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def __len__(self) -> int:
        with self._wake:
            return len(self._due) + len(self._working)

    def _take(self) -> str | None:
        while self._heap and self._heap[0][0] <= time.monotonic():
            due, key = heapq.heappop(self._heap)
            # Entries overtaken by a sooner one, or of a key at work (done() pushes that again), are dropped.
            if self._due.get(key) == due and key not in self._working:
                del self._due[key]
                return key
        return None

    def _pause(self) -> float | None:
        return max(0.0, self._heap[0][0] - time.monotonic()) if self._heap else None
