"""runs/<run>/ in the store: what is in it, and how to read and claim it. Imports no torch.

run.json      the resolved spec and its identity       status.json   services.shared.records.RunStatus
metrics.jsonl one MetricsRow a line                    lease.json    who computes it now
cancel.json, preempt.json: it is asked to stop         selection.json which checkpoint was chosen, and why
checkpoints/epoch-NN/, state/step-NNNNNN/, answers/epoch-NN.jsonl, tensorboard/
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog

from services.shared.errors import Conflict, FailedPrecondition, LimaError, NotFound
from services.shared.records import MetricsRow, Response, RunPhase, RunStatus
from services.shared.settings import Settings
from training_jobs.spec import TrainingSpec
from training_jobs.storage import Storage, locate

LEASE_SECONDS = 60.0
HEARTBEAT_SECONDS = 10.0
LISTEN_SECONDS = 2.0
StopReason = Literal["cancel", "preempt"]
STOP_REASONS: tuple[StopReason, ...] = ("cancel", "preempt")
_log = structlog.get_logger()


class RunFolder:
    def __init__(self, storage: Storage, prefix: str, run: str) -> None:
        self.storage = storage
        self.prefix = prefix
        self.run = run

    @classmethod
    def open(cls, run: str, output: str, settings: Settings) -> RunFolder:
        base = output or f"s3://{settings.object_store_bucket}/runs"
        storage, prefix = locate(f"{base.rstrip('/')}/{run}", settings)
        return cls(storage, prefix, run)

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    def read_json(self, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads(self.storage.get_bytes(self.key(name)))
        except NotFound:
            return None
        return value if isinstance(value, dict) else None

    def write_json(self, name: str, value: object) -> None:
        self.storage.put_bytes(self.key(name), json.dumps(value, indent=1, sort_keys=True).encode())

    def status(self) -> RunStatus | None:
        try:
            return RunStatus.model_validate_json(self.storage.get_bytes(self.key("status.json")))
        except NotFound:
            return None

    def write_status(self, status: RunStatus) -> None:
        self.storage.put_bytes(self.key("status.json"), status.model_dump_json(indent=1).encode())

    def metrics(self) -> list[MetricsRow]:
        try:
            lines = self.storage.get_bytes(self.key("metrics.jsonl")).splitlines()
        except NotFound:
            return []
        return [MetricsRow.model_validate_json(line) for line in lines]

    def answers(self, epoch: int = 0) -> list[Response]:
        """What that epoch's checkpoint, or with 0 the last one that did, answered to dev prompts; maybe nothing."""
        for number in (epoch,) if epoch else range(self._last_epoch(), 0, -1):
            try:
                lines = self.storage.get_bytes(self.key(answers_name(number))).splitlines()
            except NotFound:
                continue
            return [Response.model_validate_json(line) for line in lines]
        return []

    def _last_epoch(self) -> int:
        status = self.status()
        return status.total_epochs if status is not None else 0

    def checkpoint_names(self) -> list[str]:
        """The complete ones, oldest first: "epoch-01", ..."""
        names = sorted(self.storage.list_folders(self.key("checkpoints")))
        return [name for name in names if self.storage.get_manifest(self.key(f"checkpoints/{name}")) is not None]

    def state_steps(self) -> list[int]:
        """Optimiser steps of the complete full states, oldest first."""
        return [step for step in self._begun_states() if self.storage.get_manifest(self.key(state_name(step)))]

    def drop_states_before(self, step: int) -> None:
        """Remove older full states, and what an upload that was killed left of one."""
        for older in self._begun_states():
            if older < step:
                self.storage.delete_prefix(self.key(state_name(older)))

    def _begun_states(self) -> list[int]:
        return sorted(int(name.removeprefix("step-")) for name in self.storage.list_folders(self.key("state")))

    def is_complete(self) -> bool:
        status = self.status()
        return status is not None and status.phase is RunPhase.SUCCEEDED

    def claim(self, spec: TrainingSpec) -> None:
        """Write run.json, or check that the one there is of the same run.

        Raises FailedPrecondition when the name belongs to a run with other settings.
        """
        recorded = self.read_json("run.json")
        if recorded is None:
            created = datetime.now(UTC).isoformat()
            resolved = spec.model_dump(mode="json")
            self.write_json("run.json", {"spec": resolved, "identity": spec.identity, "created": created})
        elif recorded.get("identity") != spec.identity:
            changed = ", ".join(_differences(recorded.get("spec", {}), spec.model_dump(mode="json"))) or "its settings"
            raise FailedPrecondition(
                f"run {self.run!r} exists with other settings ({changed})", "choose another name for this run"
            )

    def ask_to_stop(self, reason: StopReason) -> None:
        self.write_json(f"{reason}.json", {"time": datetime.now(UTC).isoformat()})

    def stop_request(self) -> StopReason | None:
        """Why the run should stop now, if it should. Anybody may write the object; its content does not matter."""
        return next((reason for reason in STOP_REASONS if self.storage.stat(self.key(f"{reason}.json"))), None)

    def forget_stop_requests(self) -> None:
        for reason in STOP_REASONS:
            self.storage.delete(self.key(f"{reason}.json"))

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold the run while the block runs. Raises Conflict while another live process holds it.

        Of a process on another machine only the heartbeat is known: when its lease has not run out, it is listened for.
        """
        mine = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
        self._listen_for_holder()
        self._beat(mine)
        if (self.read_json("lease.json") or {}).get("owner") != mine["owner"]:
            raise Conflict(f"run {self.run!r} was started by another process at the same moment", "wait for that one")
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                # A store that is away for a moment must not end the heartbeat.
                with suppress(LimaError, OSError):
                    self._beat(mine)

        threading.Thread(target=keep, name="lease", daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            # One that stays there runs out; failing here would hide why the block ended.
            with suppress(LimaError, OSError):
                self.storage.delete(self.key("lease.json"))

    def _listen_for_holder(self) -> None:
        """Returns when nobody holds the run; raises Conflict when somebody who lives does."""
        first = holder = self.read_json("lease.json")
        deadline = time.monotonic() + LEASE_SECONDS
        while holder is not None and _is_live(holder) and time.monotonic() < deadline:
            if holder.get("host") == socket.gethostname() or holder != first:
                raise Conflict(
                    f"run {self.run!r} is being computed by process {holder.get('pid')} on {holder.get('host')}",
                    "wait for it, stop it (lima train cancel), or choose another name",
                )
            if holder is first:
                _log.warning("listens_for_holder", run=self.run, host=holder.get("host"), seconds=LEASE_SECONDS)
            time.sleep(LISTEN_SECONDS)
            holder = self.read_json("lease.json")

    def _beat(self, lease: dict[str, Any]) -> None:
        self.write_json("lease.json", {**lease, "updated": time.time()})


def state_name(step: int) -> str:
    return f"state/step-{step:06d}"


def checkpoint_name(epoch: int) -> str:
    return f"checkpoints/epoch-{epoch:02d}"


def answers_name(epoch: int) -> str:
    return f"answers/epoch-{epoch:02d}.jsonl"


def _is_live(lease: dict[str, Any]) -> bool:
    if lease.get("host") == socket.gethostname():
        return _born(int(lease.get("pid", 0))) == lease.get("born") != ""
    return bool(time.time() - float(lease.get("updated", 0)) < LEASE_SECONDS)


def _born(pid: int) -> str:
    """When a process of this machine began, so that a reused pid is not taken for it; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie has ended; it only waits to be collected. Field 22 of proc(5), counted from after the name.
    return "" if fields[0] == "Z" else fields[19]


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        inner = [_differences(old.get(key), new[key], f"{path}.{key}".lstrip(".")) for key in new]
        return [name for names in inner for name in names if not name.startswith(_FREE)]
    return [] if old == new else [path]


# Parts of a spec that may change between a run and its resumption.
_FREE = ("compute", "checkpoints", "evaluation", "tracking", "output", "preset", "run")
