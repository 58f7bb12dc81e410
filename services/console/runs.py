"""Fine-tuning runs as they lie in the store: status, metrics, log, and the wish to cancel one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from services.console.recent import Recent
from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import ObjectStore
from services.shared.records import MetricsRow, RunPhase, RunStatus

ENDED = frozenset({RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED})
# How old the list of runs may be when a page shows it.
FRESH_SECONDS = 2.0
MAX_METRICS_BYTES = 64 << 20
# How much is kept of what was read: bytes of files, and runs whose metrics are parsed.
KEPT_BYTES = 128 << 20
KEPT_METRICS = 16
READERS = 8


@dataclass(frozen=True)
class Metrics:
    """`runs/<run>/metrics.jsonl`, taken apart."""

    steps: tuple[MetricsRow, ...] = ()
    evaluations: tuple[MetricsRow, ...] = ()
    # Lines that are not MetricsRow records: shown, never silently dropped.
    malformed: int = 0

    def and_then(self, later: Metrics) -> Metrics:
        """These rows, then the later ones."""
        return Metrics(self.steps + later.steps, self.evaluations + later.evaluations, self.malformed + later.malformed)


class RunShelf:
    """Reads runs from the store. What has not changed there (by ETag) is not read again."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        # By key: (ETag, bytes), the last used at the end.
        self._bytes: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._metrics: OrderedDict[str, tuple[bytes, Metrics]] = OrderedDict()
        self._lock = threading.Lock()
        self._listed = Recent(lambda: asyncio.to_thread(self._read_all), FRESH_SECONDS)

    async def all(self) -> list[RunStatus]:
        """Every run with a readable status, newest first, at most FRESH_SECONDS old."""
        return await self._listed.get()

    async def status(self, run: str) -> RunStatus:
        """Raises NotFound for a run without a status, InvalidInput for a name that is no run's."""
        status = await asyncio.to_thread(self._status, check_run(run))
        if status is None:
            raise NotFound("run", f"runs/{run}", remedy="lima train lists the runs there are")
        return status

    async def metrics(self, run: str) -> Metrics:
        return await asyncio.to_thread(self._read_metrics, check_run(run))

    async def specification(self, run: str) -> str:
        """`run.json`, the resolved spec, indented; empty when there is none."""
        data = await asyncio.to_thread(self._fetch, f"runs/{check_run(run)}/run.json")
        try:
            return json.dumps(json.loads(data), indent=2, ensure_ascii=False) if data else ""
        except ValueError:
            return (data or b"").decode(errors="replace")

    async def log_tail(self, run: str, max_bytes: int = 32 << 10) -> str:
        """The end of the run's log, where one is kept."""
        data = await asyncio.to_thread(self._fetch, f"runs/{check_run(run)}/log.txt")
        return (data or b"")[-max_bytes:].decode(errors="replace")

    async def checkpoints(self, run: str) -> list[str]:
        prefix = f"runs/{check_run(run)}/checkpoints"
        return sorted(await asyncio.to_thread(lambda: list(self._store.list_folders(prefix))))

    async def ask_to_cancel(self, run: str, by: str) -> None:
        """Leaves the wish where the training loop looks for it between two steps."""
        status = await self.status(run)
        if status.phase in ENDED:
            return
        wish = json.dumps({"by": by, "time": datetime.now(UTC).isoformat()})
        await asyncio.to_thread(self._store.put_bytes, f"runs/{run}/cancel.json", wish.encode())

    async def cancel_asked(self, run: str) -> bool:
        return await asyncio.to_thread(self._store.stat, f"runs/{check_run(run)}/cancel.json") is not None

    def _read_all(self) -> list[RunStatus]:
        names = list(self._store.list_folders("runs"))
        with ThreadPoolExecutor(READERS) as pool:
            found = [status for status in pool.map(self._status, names) if status]
        return sorted(found, key=lambda status: status.updated, reverse=True)

    def _status(self, run: str) -> RunStatus | None:
        data = self._fetch(f"runs/{run}/status.json")
        try:
            return RunStatus.model_validate_json(data) if data else None
        except ValidationError:
            return None

    def _read_metrics(self, run: str) -> Metrics:
        """Of a file that has grown since, only the new lines are parsed."""
        data = self._fetch(f"runs/{run}/metrics.jsonl") or b""
        with self._lock:
            known, metrics = self._metrics.get(run, (b"", Metrics()))
        if not (data.startswith(known) and known.endswith(b"\n")):
            known, metrics = b"", Metrics()
        metrics = metrics.and_then(parse_metrics(data[len(known) :]))
        with self._lock:
            self._metrics[run] = (data, metrics)
            self._metrics.move_to_end(run)
            if len(self._metrics) > KEPT_METRICS:
                self._metrics.popitem(last=False)
        return metrics

    def _fetch(self, key: str) -> bytes | None:
        info = self._store.stat(key)
        if info is None:
            return None
        with self._lock:
            kept = self._bytes.get(key)
            if kept and kept[0] == info.etag:
                self._bytes.move_to_end(key)
                return kept[1]
        data = self._store.get_bytes(key, max_bytes=MAX_METRICS_BYTES)
        with self._lock:
            self._bytes[key] = (info.etag, data)
            self._bytes.move_to_end(key)
            while sum(len(one) for _, one in self._bytes.values()) > KEPT_BYTES:
                self._bytes.popitem(last=False)
        return data


def check_run(run: str) -> str:
    if not run or "/" in run or run in (".", ".."):
        raise InvalidInput("run", run, "must be the name of one run, without slashes")
    return run


def parse_metrics(data: bytes) -> Metrics:
    """Metrics from JSON lines; a line that is cut short or foreign is counted as malformed."""
    rows: list[MetricsRow] = []
    malformed = 0
    for line in data.splitlines():
        if not line.strip():
            continue
        try:
            rows.append(MetricsRow.model_validate_json(line))
        except ValidationError:
            malformed += 1
    return Metrics(
        tuple(row for row in rows if row.kind == "step"),
        tuple(row for row in rows if row.kind == "evaluation"),
        malformed,
    )
