"""What a handler is given: where to report progress, and whether to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping

from lima.common.v1.progress_pb2 import OperationProgress
from services.shared.errors import Cancelled

WRITE_SECONDS = 0.5


class OperationContext:
    """One operation at work. `report` may be called as often as one likes: writes are throttled."""

    def __init__(self, name: str, target: str, progress: bytes, write: Callable[[bytes], Awaitable[None]]) -> None:
        self.name = name
        self.target = target
        self._progress = OperationProgress.FromString(progress)
        self._write = write
        self._written = 0.0
        self._changed = False
        self._interrupted = threading.Event()
        self._cancelled = False
        self._loop = asyncio.get_running_loop()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the cancellation."""
        return self._cancelled

    @property
    def interrupted(self) -> bool:
        """Whether the handler must stop: it was cancelled, or the server stops, or the lease was lost."""
        return self._interrupted.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled once the handler must stop; for work in threads, which asyncio cannot interrupt."""
        if self.interrupted:
            raise Cancelled(f"{self.name} was interrupted")

    def interrupt(self, cancelled: bool) -> None:
        """The runner's: tell the handler to stop."""
        self._cancelled = cancelled
        self._interrupted.set()

    async def report(
        self,
        *,
        stage: str | None = None,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Change what is given; a new stage begins at zero, counts are merged."""
        progress = self._progress
        new_stage = stage is not None and stage != progress.stage
        if new_stage:
            progress.done, progress.total, progress.unit = 0, 0, ""
        progress.stage = progress.stage if stage is None else stage
        progress.done = progress.done if done is None else done
        progress.total = progress.total if total is None else total
        progress.unit = progress.unit if unit is None else unit
        for name, count in (counts or {}).items():
            progress.counts[name] = count
        self._changed = True
        if new_stage or time.monotonic() - self._written >= WRITE_SECONDS:
            await self.flush()

    def report_from_thread(
        self,
        *,
        stage: str | None = None,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """As `report`, from a thread beside the event loop; raises Cancelled once the handler must stop."""
        self.raise_if_cancelled()
        report = self.report(stage=stage, done=done, total=total, unit=unit, counts=counts)
        asyncio.run_coroutine_threadsafe(report, self._loop).result()

    async def flush(self) -> None:
        if self._changed:
            self._changed = False
            self._written = time.monotonic()
            await self._write(self._progress.SerializeToString())
