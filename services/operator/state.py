"""What should be, given what is: the operator's decisions as one pure function.

Level-triggered: nothing here remembers an event. The same observations always give the same outcome, so a restart, a
missed event or a child deleted by hand needs no case of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from services.operator.finetunejob import Condition, FineTuneJob, FineTuneJobStatus
from services.shared.records import RunPhase, RunStatus

Phase = Literal["Pending", "Refused", "Running", "Suspended", "Succeeded", "Failed"]
# KubeRay's RayJob.status.jobDeploymentStatus, where no further attempt follows.
CHILD_ENDED = {"Complete", "Failed", "ValidationFailed"}
CHILD_RUNNING = {"Running"}
# A run that is done takes its driver and KubeRay with it within a minute. One that hangs at its end must not hold GPUs.
LINGER_SECONDS = 300


@dataclass(frozen=True)
class Refusal:
    """Why a job cannot be submitted now. A final one cannot change while the job stands as it is."""

    reason: str
    message: str
    final: bool


@dataclass(frozen=True)
class Observed:
    """Everything a decision rests on. `child` is the RayJob as the API server has it, `run` the run's status.json."""

    job: FineTuneJob
    child: dict[str, Any] | None
    run: RunStatus | None
    refusal: Refusal | None
    now: datetime


class Child(StrEnum):
    APPLY = "apply"
    DELETE = "delete"
    LEAVE = "leave"


@dataclass(frozen=True)
class Outcome:
    status: FineTuneJobStatus
    child: Child = Child.LEAVE
    # The job outlived spec.ttlSecondsAfterFinished.
    expired: bool = False


@dataclass(frozen=True)
class _Finding:
    phase: Phase
    reason: str
    message: str
    child: Child


def decide(seen: Observed) -> Outcome:
    """The status to write, and what to do with the child."""
    job = seen.job
    if job.finished:
        over = lingers(seen) and _since_end(job, seen.now) >= timedelta(seconds=LINGER_SECONDS)
        return Outcome(job.status, Child.DELETE if over else Child.LEAVE, expired=_expired(job, seen.now))
    finding = _find(seen)
    return Outcome(_status(seen, finding), finding.child)


def lingers(seen: Observed) -> bool:
    """Whether the RayJob of a finished job goes on, and so its Ray cluster."""
    return seen.child is not None and _child_status(seen.child).get("jobDeploymentStatus") not in CHILD_ENDED


def _find(seen: Observed) -> _Finding:
    ended = _ended(seen)
    if ended:
        return ended
    if seen.job.spec.suspend:
        kept = "cancelled and kept: set spec.suspend to false to go on from the last checkpoint"
        return _Finding("Suspended", "Suspended", kept, Child.DELETE if seen.child else Child.LEAVE)
    if seen.child is None:
        if seen.refusal:
            phase: Phase = "Refused" if seen.refusal.final else "Pending"
            return _Finding(phase, seen.refusal.reason, seen.refusal.message, Child.LEAVE)
        return _Finding("Pending", "Submitted", "the RayJob is submitted", Child.APPLY)
    deployment = _child_status(seen.child).get("jobDeploymentStatus") or "New"
    if deployment in CHILD_RUNNING:
        return _Finding("Running", "Training", seen.run.message if seen.run else "", Child.LEAVE)
    return _Finding("Pending", f"RayJob{deployment}", "waiting for Ray's pods", Child.LEAVE)


def _ended(seen: Observed) -> _Finding | None:
    """How the work ended, or None while it has not. The run's own word counts even after its RayJob is gone."""
    child = _child_status(seen.child)
    if seen.run and seen.run.phase is RunPhase.SUCCEEDED:
        return _Finding("Succeeded", "Trained", seen.run.message, Child.LEAVE)
    if child.get("jobDeploymentStatus") not in CHILD_ENDED:
        return None
    if child.get("jobStatus") == "SUCCEEDED" and child.get("jobDeploymentStatus") == "Complete":
        return _Finding("Succeeded", "Trained", "", Child.LEAVE)
    told = seen.run.message if seen.run and seen.run.phase in (RunPhase.FAILED, RunPhase.CANCELLED) else ""
    reason = "Cancelled" if seen.run and seen.run.phase is RunPhase.CANCELLED else child.get("reason") or "RayJobFailed"
    message = told or str(child.get("message") or "the RayJob failed: see kubectl lima logs")
    return _Finding("Failed", str(reason), message, Child.LEAVE)


def _status(seen: Observed, finding: _Finding) -> FineTuneJobStatus:
    job, run, now = seen.job, seen.run, _stamp(seen.now)
    finished = finding.phase in ("Succeeded", "Failed")
    started = job.status.start_time or (now if finding.phase == "Running" or finished else None)
    mirrored = _mirrored(seen, finding) if run else {}
    attempts = int(_child_status(seen.child).get("failed") or 0)
    return FineTuneJobStatus(
        phase=finding.phase,
        observed_generation=job.generation,
        conditions=_conditions(seen, finding),
        run=job.child_name,
        ray_job=job.child_name if seen.child or finding.child is Child.APPLY else "",
        restarts=max(job.status.restarts, attempts + (run.restarts if run else 0)),
        start_time=started,
        completion_time=now if finished else None,
        **mirrored,
    )


def _mirrored(seen: Observed, finding: _Finding) -> dict[str, Any]:
    run = seen.run
    assert run is not None
    moving = finding.phase == "Running"
    return {
        "progress": f"{run.progress:.0%}" if run.total_steps else "",
        "step": run.step,
        "total_steps": run.total_steps,
        "epoch": run.epoch,
        "total_epochs": run.total_epochs,
        "loss": f"{run.loss:.4f}" if run.loss is not None else "",
        "tokens_per_second": f"{run.tokens_per_second:.1f}" if moving and run.tokens_per_second is not None else "",
        "eta_seconds": int(run.eta_seconds) if moving and run.eta_seconds is not None else None,
        "last_checkpoint": run.last_checkpoint,
        "selected_checkpoint": _selected(seen, finding),
    }


def _selected(seen: Observed, finding: _Finding) -> str:
    run, selection = seen.run, seen.job.spec.checkpoint_selection
    assert run is not None
    if selection.policy == "Judged" or finding.phase != "Succeeded":
        return run.selected_checkpoint
    if selection.policy == "Last":
        return run.last_checkpoint
    return re.sub(r"epoch-\d+$", f"epoch-{selection.epoch:02d}", run.last_checkpoint)


def _conditions(seen: Observed, finding: _Finding) -> tuple[Condition, ...]:
    refused = seen.refusal is not None and finding.reason == seen.refusal.reason
    facts = {
        "Accepted": (not refused, finding.reason if refused else "Accepted", finding.message if refused else ""),
        "Running": (finding.phase == "Running", finding.reason, "" if refused else finding.message),
        "Complete": (
            finding.phase == "Succeeded",
            finding.reason,
            finding.message if finding.phase == "Succeeded" else "",
        ),
        "Failed": (finding.phase == "Failed", finding.reason, finding.message if finding.phase == "Failed" else ""),
    }
    before = {str(condition.type): condition for condition in seen.job.status.conditions}
    conditions = []
    for kind, (true, reason, message) in facts.items():
        old, status = before.get(kind), "True" if true else "False"
        since = old.last_transition_time if old and old.status == status else _stamp(seen.now)
        conditions.append(
            Condition.model_validate(
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": message[:32768],
                    "observedGeneration": seen.job.generation,
                    "lastTransitionTime": since,
                }
            )
        )
    return tuple(conditions)


def _expired(job: FineTuneJob, now: datetime) -> bool:
    ttl = job.spec.ttl_seconds_after_finished
    return ttl is not None and _since_end(job, now) >= timedelta(seconds=ttl)


def _since_end(job: FineTuneJob, now: datetime) -> timedelta:
    # Both times are of this operator's clock: what clock the workers have does not matter.
    ended = job.status.completion_time
    return now - datetime.fromisoformat(ended) if ended else timedelta.min


def _child_status(child: dict[str, Any] | None) -> dict[str, Any]:
    return (child or {}).get("status") or {}


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
