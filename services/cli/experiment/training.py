"""A fine-tuning run as the command line sees it: a child process to start or find, and a status to follow."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from services.cli.stack import process
from services.shared.errors import FailedPrecondition
from services.shared.records import MetricsRow, RunPhase, RunStatus

if TYPE_CHECKING:
    from services.cli.output import Progress
    from services.cli.stack.stack import Stack
    from services.shared.objects import ObjectStore

POLL_SECONDS = 1.0
MAX_RECORD_BYTES = 64 * 2**20


async def follow_run(stack: Stack, store: ObjectStore, spec: Any, progress: Progress) -> RunStatus:
    """Start the run of a TrainingSpec, or find it running, and wait for its end.

    Raises FailedPrecondition with the run's own message if it fails.
    """
    file = stack.process_file(f"run-{spec.run}")
    log = stack.log(f"run-{spec.run}")
    if file.find() is None:
        path = stack.layout.specs / f"{spec.run}.json"
        path.write_text(spec.model_dump_json(indent=2))
        command = [sys.executable, "-m", "training_jobs", "run", "--spec", str(path)]
        process.start(command, stack.environment(), log, file)
    while file.find() is not None:
        status = await asyncio.to_thread(read_status, store, spec.run)
        if status and status.phase is RunPhase.RUNNING:
            loss = f", loss {status.loss:.3f}" if status.loss is not None else ""
            stage = f"epoch {status.epoch}/{status.total_epochs}{loss}"
            progress.update(stage, status.step, status.total_steps, "steps")
        await asyncio.sleep(POLL_SECONDS)
    status = await asyncio.to_thread(read_status, store, spec.run)
    if status is None or status.phase is not RunPhase.SUCCEEDED:
        why = status.message if status and status.message else process.log_tail(log)
        raise FailedPrecondition(
            f"run {spec.run} did not finish: {why}",
            remedy=f"mend what it names and run the same command again: it goes on from its last state. Log: {log}",
        )
    file.remove()
    return status


def read_status(store: ObjectStore, run: str) -> RunStatus | None:
    key = f"runs/{run}/status.json"
    if store.stat(key) is None:
        return None
    return RunStatus.model_validate_json(store.get_bytes(key))


def metrics_by_epoch(store: ObjectStore, run: str, kind: str) -> list[float]:
    """Mean training loss, or dev perplexity, of each epoch, from the run's metrics.jsonl."""
    key = f"runs/{run}/metrics.jsonl"
    if store.stat(key) is None:
        return []
    by_epoch: dict[int, list[float]] = {}
    for line in store.get_bytes(key, max_bytes=MAX_RECORD_BYTES).splitlines():
        row = MetricsRow.model_validate(json.loads(line))
        value = row.loss if kind == "step" else row.perplexity
        if row.kind == kind and value is not None:
            # A step's epoch counts from 0 as it goes on, so the step that ends epoch 1 has 1.0.
            by_epoch.setdefault(max(1, -int(-row.epoch // 1)), []).append(value)
    return [sum(values) / len(values) for _, values in sorted(by_epoch.items())]
