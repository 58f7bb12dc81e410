"""Decisions: the same observations always give the same outcome, whatever happened before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.operator.finetunejob import FineTuneJob
from services.operator.state import LINGER_SECONDS, Child, Observed, Outcome, Refusal, decide
from services.shared.records import RunPhase, RunStatus
from tests.unit.operator.jobs import NOW, job, run_status

MISSING = Refusal("DatasetNotFound", "there is no dataset", final=False)
TOO_BIG = Refusal("DoesNotFit", "needs 91 GiB of 80 GiB", final=True)


def child(deployment: str = "", job_status: str = "", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "child"},
        "status": {"jobDeploymentStatus": deployment, "jobStatus": job_status, **status},
    }


def look(
    asked: FineTuneJob,
    ray: dict[str, Any] | None = None,
    run: RunStatus | None = None,
    refusal: Refusal | None = None,
    later: float = 0,
) -> Outcome:
    return decide(Observed(asked, ray, run, refusal, NOW + timedelta(seconds=later)))


RUNNING = run_status("lima", step=30, total_steps=120, epoch=4, total_epochs=15, loss=1.23456, tokens_per_second=99.9)
DONE = run_status("lima", RunPhase.SUCCEEDED, step=120, total_steps=120, last_checkpoint="runs/x/checkpoints/epoch-15")
BROKEN = run_status("lima", RunPhase.FAILED, message="loss is not a number at step 7")
STOPPED = run_status("lima", RunPhase.CANCELLED, message="stopped by kim")


@pytest.mark.parametrize(
    ("ray", "run", "refusal", "suspend", "phase", "action"),
    [
        (None, None, None, False, "Pending", Child.APPLY),
        (None, None, MISSING, False, "Pending", Child.LEAVE),
        (None, None, TOO_BIG, False, "Refused", Child.LEAVE),
        (child(), None, None, False, "Pending", Child.LEAVE),
        (child("Initializing"), None, None, False, "Pending", Child.LEAVE),
        (child("Running", "RUNNING"), RUNNING, None, False, "Running", Child.LEAVE),
        (child("Retrying"), BROKEN, None, False, "Pending", Child.LEAVE),
        (child("Complete", "SUCCEEDED"), DONE, None, False, "Succeeded", Child.LEAVE),
        (child("Complete", "SUCCEEDED"), None, None, False, "Succeeded", Child.LEAVE),
        (child("Failed", "FAILED"), BROKEN, None, False, "Failed", Child.LEAVE),
        (child("Failed", reason="DeadlineExceeded"), RUNNING, None, False, "Failed", Child.LEAVE),
        (child("ValidationFailed"), None, None, False, "Failed", Child.LEAVE),
        # Deleted by hand while it ran, or after it was done.
        (None, RUNNING, None, False, "Pending", Child.APPLY),
        (None, DONE, None, False, "Succeeded", Child.LEAVE),
        (None, BROKEN, None, False, "Pending", Child.APPLY),
        # Suspended before the start, while it runs, once it is gone, and too late.
        (None, None, None, True, "Suspended", Child.LEAVE),
        (child("Running", "RUNNING"), RUNNING, None, True, "Suspended", Child.DELETE),
        (None, RUNNING, None, True, "Suspended", Child.LEAVE),
        (child("Complete", "SUCCEEDED"), DONE, None, True, "Succeeded", Child.LEAVE),
    ],
)
def test_what_is_seen_decides(
    ray: dict[str, Any] | None, run: RunStatus | None, refusal: Refusal | None, suspend: bool, phase: str, action: Child
) -> None:
    outcome = look(job(suspend=suspend), ray, run, refusal)
    assert (outcome.status.phase, outcome.child) == (phase, action)


def test_the_runs_own_numbers_are_mirrored() -> None:
    status = look(job(), child("Running", "RUNNING"), RUNNING).status
    assert (status.progress, status.step, status.epoch, status.loss) == ("25%", 30, 4, "1.2346")
    assert status.tokens_per_second == "99.9"
    assert {c.type: c.status for c in status.conditions} == {
        "Accepted": "True", "Running": "True", "Complete": "False", "Failed": "False",
    }  # fmt: skip


def test_a_refusal_says_its_reason_in_the_condition() -> None:
    (accepted, *_) = look(job(), refusal=TOO_BIG).status.conditions
    assert (accepted.status, accepted.reason, accepted.message) == ("False", "DoesNotFit", "needs 91 GiB of 80 GiB")


@pytest.mark.parametrize(
    ("ray", "run", "reason", "message"),
    [
        (child("Failed", "FAILED", message="Ray says"), BROKEN, "RayJobFailed", "loss is not a number at step 7"),
        (child("Failed", "FAILED", message="Ray says"), None, "RayJobFailed", "Ray says"),
        (child("Failed", reason="DeadlineExceeded", message="late"), RUNNING, "DeadlineExceeded", "late"),
        (child("Failed", "FAILED"), STOPPED, "Cancelled", "stopped by kim"),
    ],
)
def test_a_failure_tells_why(ray: dict[str, Any], run: RunStatus | None, reason: str, message: str) -> None:
    (failed,) = [c for c in look(job(), ray, run).status.conditions if c.type == "Failed"]
    assert (failed.status, failed.reason, failed.message) == ("True", reason, message)


def test_looking_again_changes_nothing() -> None:
    first = look(job(), child("Running", "RUNNING"), RUNNING).status
    again = job(status=first.model_dump(by_alias=True))
    assert look(again, child("Running", "RUNNING"), RUNNING, later=60).status == first


def test_a_finished_job_stays_as_it_is() -> None:
    done = look(job(), child("Complete", "SUCCEEDED"), DONE).status
    later = job(status=done.model_dump(by_alias=True), suspend=True)
    assert look(later, None, None, MISSING, later=600) == Outcome(done)


@pytest.mark.parametrize(
    ("ray", "later", "action"),
    [
        (child("Running", "SUCCEEDED"), LINGER_SECONDS - 1, Child.LEAVE),
        (child("Running", "SUCCEEDED"), LINGER_SECONDS, Child.DELETE),
        (child("Complete", "SUCCEEDED"), 10**6, Child.LEAVE),
        (None, 10**6, Child.LEAVE),
    ],
)
def test_what_hangs_after_its_end_is_deleted_and_its_gpus_are_free(
    ray: dict[str, Any] | None, later: float, action: Child
) -> None:
    done = look(job(), child("Running", "RUNNING"), DONE).status
    finished = job(status=done.model_dump(by_alias=True))
    assert look(finished, ray, later=later) == Outcome(done, action)


@pytest.mark.parametrize(
    ("ttl", "later", "expired"), [(None, 10**6, False), (60, 59, False), (60, 60, True), (0, 0, True)]
)
def test_a_finished_job_expires_by_the_operators_clock_alone(ttl: int | None, later: float, expired: bool) -> None:
    done = look(job(), child("Complete", "SUCCEEDED"), DONE).status
    finished = job(status=done.model_dump(by_alias=True), ttlSecondsAfterFinished=ttl)
    assert look(finished, later=later).expired is expired


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        ({}, ""),
        ({"policy": "Last"}, "runs/x/checkpoints/epoch-15"),
        ({"policy": "Epoch", "epoch": 5}, "runs/x/checkpoints/epoch-05"),
    ],
)
def test_the_checkpoint_is_selected_as_asked(selection: dict[str, Any], chosen: str) -> None:
    status = look(job(checkpointSelection=selection), child("Complete", "SUCCEEDED"), DONE).status
    assert status.selected_checkpoint == chosen


def test_attempts_and_restarts_within_them_are_counted_together() -> None:
    run = RUNNING.model_copy(update={"restarts": 2})
    assert look(job(), child("Running", "RUNNING", failed=1), run).status.restarts == 3
