"""Checkpoint selection as a study: its systems are the epochs of a run, and the best of the window is recorded.

`runs/<run>/selection.json` is what the training job, the operator and the model registry read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.judging.results import Results
from services.judging.study import Selection, StudySpec
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import RunStatus

EPOCH = re.compile(r"epoch-(\d{2,4})")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The epoch, its value, and the value of each epoch that was considered."""

    epoch: int
    value: float
    measure: str
    evidence: dict[str, float]
    # Whether the data set the choice apart from the runner-up.
    supported: bool


def choose(selection: Selection, results: Results) -> Chosen | None:
    """The best epoch within the window, the earlier of equals; None while nothing usable is there.

    Of a run that has no epoch within the window, any epoch may be chosen.
    """
    measure, found = _by_epoch(results)
    window = {epoch for epoch in found if selection.first_epoch <= epoch <= selection.last_epoch} or set(found)
    if not window:
        return None
    values = {epoch: found[epoch][0] for epoch in sorted(window)}
    best = max(values, key=lambda epoch: (values[epoch], -epoch))
    others = [found[epoch][2] for epoch in window if epoch != best]
    supported = bool(others) and found[best][1] > max(others)
    evidence = {f"epoch-{epoch:02d}": value for epoch, value in values.items()}
    return Chosen(best, values[best], measure, evidence, supported)


def _by_epoch(results: Results) -> tuple[str, dict[int, tuple[float, float, float]]]:
    """What is maximised, and (value, low, high) of each epoch, by the study's first judge."""
    if results.scores:
        measure, scored = "mean score", [(each.system, each.judge, each.mean) for each in results.scores]
    elif results.strengths:
        measure = "Bradley-Terry log-odds"
        scored = [(each.system, each.judge, each.log_odds) for each in results.strengths]
    else:
        measure = "win rate"
        rates = [(pair.first, pair.second, pair.judge, pair.summary.win_rate) for pair in results.pairs]
        scored = [(first, judge, rate) for first, _, judge, rate in rates]
        scored += [(second, judge, rate.mirrored()) for _, second, judge, rate in rates]
    judges = [judge for _, judge, estimate in scored if estimate.known]
    return measure, {
        int(match.group(1)): (estimate.value, estimate.low, estimate.high)
        for system, judge, estimate in scored
        if estimate.known and judge == judges[0] and (match := EPOCH.fullmatch(system))
    }


def record_selection(store: ObjectStore, spec: StudySpec, results: Results) -> Chosen | None:
    """Write what the study says to the run, if it is a selection and says anything."""
    if spec.selection is None:
        return None
    chosen = choose(spec.selection, results)
    if chosen is None:
        return None
    checkpoint = f"checkpoints/epoch-{chosen.epoch:02d}"
    doubt = "" if chosen.supported else "; the data do not set it apart from the next best"
    value = {
        "checkpoint": checkpoint,
        "epoch": chosen.epoch,
        "by": "study",
        "reason": f"highest {chosen.measure} in studies/{spec.name}: {chosen.value:.3f}{doubt}",
        "evidence": chosen.evidence,
        "time": datetime.now(UTC).isoformat(),
    }
    run = spec.selection.run
    store.put_bytes(f"{run}/selection.json", json.dumps(value, indent=1).encode(), "application/json")
    key = f"{run}/status.json"
    if store.stat(key) is not None:
        status = RunStatus.model_validate_json(store.get_bytes(key, max_bytes=1 << 20))
        status = status.model_copy(update={"selected_checkpoint": checkpoint})
        store.put_bytes(key, status.model_dump_json(indent=1).encode(), "application/json")
    log.info("checkpoint chosen", run=run, epoch=chosen.epoch, study=spec.name)
    return chosen


def check_selection(spec: StudySpec) -> None:
    """Raise InvalidInput unless the systems of a selection are epochs."""
    if spec.selection is None:
        return
    wrong = [system.name for system in spec.systems if not EPOCH.fullmatch(system.name)]
    if wrong:
        raise InvalidInput(
            "spec.systems", ", ".join(wrong), 'a selection names its systems "epoch-05", "epoch-06", ...'
        )
    if spec.selection.first_epoch > spec.selection.last_epoch:
        raise InvalidInput("spec.selection.first_epoch", spec.selection.first_epoch, "must not be after last_epoch")
