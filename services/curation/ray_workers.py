"""Parts read by Ray, one site or file at a time on each processor of the cluster that RAY_ADDRESS names, or of a Ray of
this machine.

A reader brings what it read back through the object store of Ray, as the two small files of a part. On a cluster whose
nodes share no disk the corpus files must be reachable at the same path on each (a shared or mirrored volume).

Readers are actors, because a part may take an hour and must not go on when its build has failed or was stopped: an
actor can be ended at any moment. ray.cancel is no way to end a task: when the task ends at the same moment, Ray's core
aborts the process that asked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.curation.pool import CANDIDATES, FUNNEL, PartTask, part_size, read_part
from services.shared.errors import LimaError, Unavailable

# Ray lowers the priority of its workers, which starves them on a busy machine; and it reports its use to its makers.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
START_ATTEMPTS = 2
# Times that a reader begins again, on another node, when its process or node was lost.
LOSSES = 3
# What a reader that is ended is given to remove its files.
FORGET_SECONDS = 10.0


class Reader:
    """Lives on one processor of the cluster."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def ready(self) -> None:
        """Returns when the cluster has found room for this reader."""

    def read(self, task: PartTask) -> tuple[bytes, bytes]:
        """(candidates, funnel) of a part."""
        with tempfile.TemporaryDirectory(prefix="lima-part-", ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            found = read_part(task, self._folder)
            return (found / CANDIDATES).read_bytes(), (found / FUNNEL).read_bytes()

    def forget(self) -> None:
        """Remove what is being read; the process is ended next, and would leave it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class RayWorkers:
    """Starts or joins Ray at the first use."""

    def read(self, tasks: Sequence[PartTask], cache_folder: Path, done: Callable[[int], None]) -> list[Path]:
        """Raises what reading a part, or `done`, raises, and Unavailable when readers are lost again and again.

        No part is read on when this returns or raises.
        """
        folders = [cache_folder / task.digest() for task in tasks]
        missing = [place for place, folder in enumerate(folders) if not (folder / FUNNEL).is_file()]
        # The largest is taken first, from the end, so that no reader is left with it.
        missing.sort(key=lambda place: part_size(tasks[place]))
        left = len(missing)
        if left == 0:
            return folders
        import ray

        _join()
        readers = _readers(left)
        # What is awaited: a reader that is ready, or the part that it reads.
        awaited: dict[Any, tuple[Any, int | None]] = {reader.ready.remote(): (reader, None) for reader in readers}
        try:
            while left:
                [reference], _ = ray.wait(list(awaited), num_returns=1)
                found = ray.get(reference)
                reader, place = awaited.pop(reference)
                if place is not None:
                    _keep(folders[place], *found)
                    left -= 1
                    done(len(tasks) - left)
                if missing:
                    place = missing.pop()
                    awaited[reader.read.remote(tasks[place])] = (reader, place)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LimaError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            raise Unavailable(
                f"a part could not be read by Ray: {error}",
                remedy="Look after the memory of its nodes, then build again: the parts that were read stay.",
            ) from error
        finally:
            _end(readers, [reader for reader, place in awaited.values() if place is not None])
        return folders


def _readers(parts: int) -> list[Any]:
    import ray

    processors = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    # The second thread is for `forget`.
    limits: Any = {"max_concurrency": 2, "max_restarts": LOSSES, "max_task_retries": LOSSES}
    kind: Any = ray.remote(num_cpus=1, **limits)(Reader)
    return [kind.remote() for _ in range(min(parts, max(processors, 1)))]


def _end(readers: list[Any], reading: list[Any]) -> None:
    import ray

    if reading:
        ray.wait([reader.forget.remote() for reader in reading], num_returns=len(reading), timeout=FORGET_SECONDS)
    for reader in readers:
        ray.kill(reader)


def _join() -> None:
    import ray

    if ray.is_initialized():
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS", "")
    options: dict[str, Any] = {} if address else {"address": "local", "include_dashboard": False}
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(log_to_driver=False, **options)
            return
        except Exception as error:  # Ray raises bare exceptions, mostly that a part of it was too slow to start
            ray.shutdown()
            if attempt + 1 == START_ATTEMPTS:
                raise Unavailable(
                    f"Ray {f'at {address} cannot be joined' if address else 'did not start'}: {error}",
                    remedy="Read /tmp/ray/session_latest/logs, or set LIMA_CURATION_RUNNER=local.",
                ) from error


def _keep(folder: Path, candidates: bytes, funnel: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CANDIDATES).write_bytes(candidates)
    partial = folder / f".{FUNNEL}.partial"
    partial.write_bytes(funnel)
    partial.replace(folder / FUNNEL)  # last: its presence says that the part is whole
