"""What a run tells the world while it goes on: status.json, metrics.jsonl and TensorBoard files. Rank 0 only."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any

from services.shared.records import MetricsRow, RunPhase, RunStatus
from training_jobs.run_folder import RunFolder
from training_jobs.store_sync import Uploader
from training_jobs.tracking import Tracker

# Small objects are sent at most this often; their last state always is.
PUBLISH_SECONDS = 2.0


class Journal:
    def __init__(self, run: RunFolder, uploader: Uploader, tracker: Tracker, status: RunStatus, workers: int) -> None:
        self._run = run
        self._uploader = uploader
        self._tracker = tracker
        self.status = status
        self._rows = [row for row in run.metrics() if row.step <= status.step]
        begins = f"begins at step {status.step} of {status.total_steps}, workers: {workers}"
        writer = f"process {os.getpid()} on {socket.gethostname()}"
        self._log = [f"{status.updated:%Y-%m-%d %H:%M:%S} {begins}, written by {writer}"]
        self._published = 0.0
        self._lock = threading.Lock()

    def record(self, row: MetricsRow) -> None:
        self._rows.append(row)
        self._tracker.record(row)
        more = "" if row.perplexity is None else f", perplexity {row.perplexity:.2f}"
        self._log.append(
            f"{row.time:%Y-%m-%d %H:%M:%S} {row.kind} {row.step}, epoch {row.epoch:.2f}: loss {row.loss:.4f}{more}"
        )

    def note(self, text: str) -> None:
        """A line of the log that is no step."""
        self._log.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}")

    def update(self, *, now: bool = False, **changes: Any) -> None:
        """Change the status; it is published at once, or when enough time has passed."""
        # The uploader's thread reports checkpoints that have arrived.
        with self._lock:
            self.status = self.status.model_copy(update={**changes, "updated": datetime.now(UTC)})
        if now or time.monotonic() - self._published >= PUBLISH_SECONDS:
            self._publish()

    def finish(self, phase: RunPhase, message: str = "") -> None:
        """Publish the last status, after everything before it has arrived. Raises when uploads failed."""
        self._publish()
        self._tracker.close()
        self._uploader.drain()
        self.status = self.status.model_copy(
            update={"phase": phase, "message": message, "eta_seconds": None, "updated": datetime.now(UTC)}
        )
        self._run.write_status(self.status)

    def _publish(self) -> None:
        self._published = time.monotonic()
        lines = "".join(row.model_dump_json() + "\n" for row in self._rows)
        self._uploader.put_bytes(self._run.key("metrics.jsonl"), lines.encode())
        self._uploader.put_bytes(self._run.key("status.json"), self.status.model_dump_json(indent=1).encode())
        self._uploader.put_bytes(self._run.key("log.txt"), ("\n".join(self._log) + "\n").encode())
        for path in self._tracker.files():
            self._uploader.put_bytes(self._run.key(f"tensorboard/{path.name}"), path.read_bytes())


def restarted(run: RunFolder, step: int, totals: dict[str, Any]) -> RunStatus:
    """The status of a run that starts or goes on at `step`."""
    before = run.status()
    # One that was stopped when asked is pending, as one that never ran.
    restarts = 0 if before is None else before.restarts + (before.phase is not RunPhase.PENDING)
    return RunStatus(
        run=run.run,
        phase=RunPhase.RUNNING,
        step=step,
        restarts=restarts,
        last_checkpoint=before.last_checkpoint if before else "",
        updated=datetime.now(UTC),
        **totals,
    )
