"""Parts read as Ray tasks, one site or file each, on the cluster that RAY_ADDRESS names.

A task brings what it read back through the object store of Ray, as the two small files of a part. On a cluster whose
nodes share no disk the corpus files must be reachable at the same path on each (a shared or mirrored volume).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from services.curation.pool import CANDIDATES, FUNNEL, PartTask, read_part


def read_remotely(task: PartTask) -> tuple[bytes, bytes]:
    """(candidates, funnel) of a part, read wherever this runs."""
    with tempfile.TemporaryDirectory() as folder:
        found = read_part(task, Path(folder))
        return (found / CANDIDATES).read_bytes(), (found / FUNNEL).read_bytes()


class RayWorkers:
    """Starts or joins Ray at the first use."""

    def read(self, tasks: Sequence[PartTask], cache_folder: Path, done: Callable[[int], None]) -> list[Path]:
        import ray

        if not ray.is_initialized():
            ray.init(ignore_reinit_error=True, log_to_driver=False)
        remote: Any = ray.remote(read_remotely)
        folders = [cache_folder / task.digest() for task in tasks]
        missing = [place for place, folder in enumerate(folders) if not (folder / FUNNEL).is_file()]
        # The largest first, so that no worker is left with it at the end.
        missing.sort(key=lambda place: -sum(file.path.stat().st_size for file in tasks[place].part.files.values()))
        pending = {remote.remote(tasks[place]): place for place in missing}
        finished = len(tasks) - len(pending)
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                candidates, funnel = ray.get(reference)
                _keep(folders[pending.pop(reference)], candidates, funnel)
                finished += 1
                done(finished)
        return folders


def _keep(folder: Path, candidates: bytes, funnel: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CANDIDATES).write_bytes(candidates)
    partial = folder / f".{FUNNEL}.partial"
    partial.write_bytes(funnel)
    partial.replace(folder / FUNNEL)  # last: its presence says that the part is whole
