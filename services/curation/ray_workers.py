"""Parts read as Ray tasks, one site or file each, on the cluster that RAY_ADDRESS names, or on a Ray of this machine.

A task brings what it read back through the object store of Ray, as the two small files of a part. On a cluster whose
nodes share no disk the corpus files must be reachable at the same path on each (a shared or mirrored volume).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.curation.pool import CANDIDATES, FUNNEL, PartTask, part_size, read_part
from services.shared.errors import LimaError, Unavailable

# Ray lowers the priority of its workers, which starves them on a busy machine; and it reports its use to its makers.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
START_ATTEMPTS = 2


def read_remotely(task: PartTask) -> tuple[bytes, bytes]:
    """(candidates, funnel) of a part, read wherever this runs."""
    with tempfile.TemporaryDirectory() as folder:
        found = read_part(task, Path(folder))
        return (found / CANDIDATES).read_bytes(), (found / FUNNEL).read_bytes()


class RayWorkers:
    """Starts or joins Ray at the first use."""

    def read(self, tasks: Sequence[PartTask], cache_folder: Path, done: Callable[[int], None]) -> list[Path]:
        """Raises what reading a part raises; the tasks that are left are cancelled then."""
        import ray

        _join()
        remote: Any = ray.remote(read_remotely)
        folders = [cache_folder / task.digest() for task in tasks]
        missing = [place for place, folder in enumerate(folders) if not (folder / FUNNEL).is_file()]
        # The largest first, so that no worker is left with it at the end.
        missing.sort(key=lambda place: -part_size(tasks[place]))
        pending = {remote.remote(tasks[place]): place for place in missing}
        try:
            while pending:
                [reference], _ = ray.wait(list(pending), num_returns=1)
                candidates, funnel = ray.get(reference)
                _keep(folders[pending.pop(reference)], candidates, funnel)
                done(len(tasks) - len(pending))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LimaError):
                raise error.cause from None
            raise
        finally:
            for reference in pending:
                ray.cancel(reference)
        return folders


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
