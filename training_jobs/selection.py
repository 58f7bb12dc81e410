"""Which checkpoint of a run is served: perplexity does not track quality, so it is chosen, and the choice recorded.

LIMA chose between epochs 5 and 10 by reading dev answers. Here: by a judge study over the epochs, by people who name
an epoch, or by a named metric. selection.json keeps the choice with its evidence.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from services.shared.errors import FailedPrecondition, InvalidInput
from services.shared.records import MetricsRow
from training_jobs.run_folder import RunFolder, checkpoint_name

if TYPE_CHECKING:
    from services.shared.settings import Settings

METRICS = ("perplexity", "loss", "training_loss")
STUDY_SECONDS = 30.0


class Selection(BaseModel):
    """The choice. `evidence` holds the number of each epoch that was considered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    epoch: int
    by: Literal["metric", "study", "people"]
    reason: str
    evidence: dict[str, float]
    time: datetime
    # The version that it is registered as, "models/<name>/versions/<version>"; empty until it is.
    model: str = ""


def parse_window(text: str) -> tuple[int, int]:
    """ "5-10" -> (5, 10). Raises InvalidInput."""
    found = re.fullmatch(r"(\d{1,4})-(\d{1,4})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InvalidInput("window", text, "must be two epochs in order, as in 5-10")
    return int(found[1]), int(found[2])


def by_metric(run: RunFolder, metric: str, window: tuple[int, int]) -> Selection:
    """The kept epoch within the window with the lowest value; of a run too short for the window, any epoch."""
    if metric not in METRICS:
        raise InvalidInput("metric", metric, f"must be one of {', '.join(METRICS)}")
    epochs = _candidates(run, window)
    values = {epoch: value for epoch, value in metric_by_epoch(run.metrics(), metric).items() if epoch in epochs}
    if not values:
        raise FailedPrecondition(
            f"run {run.run!r} has no {metric} for its checkpoints",
            "give the dataset a dev split with responses, or choose by a study or by hand",
        )
    best = min(values, key=lambda epoch: (values[epoch], epoch))
    evidence = {f"epoch-{epoch:02d}": value for epoch, value in values.items()}
    return _selection(best, "metric", f"lowest {metric} of {len(values)} epochs: {values[best]:.4g}", evidence)


def metric_by_epoch(rows: list[MetricsRow], metric: str) -> dict[int, float]:
    """Held-out loss or perplexity of each epoch, or the mean training loss over its steps."""
    if metric != "training_loss":
        found = {int(row.epoch): getattr(row, metric) for row in rows if row.kind == "evaluation" and row.epoch >= 1}
        return {epoch: value for epoch, value in found.items() if value is not None}
    steps: dict[int, list[float]] = {}
    for row in rows:
        if row.kind == "step":
            # The last step of epoch n is at exactly n.
            steps.setdefault(int(-(-row.epoch // 1)), []).append(row.loss)
    return {epoch: sum(losses) / len(losses) for epoch, losses in steps.items()}


def by_people(run: RunFolder, epoch: int, note: str) -> Selection:
    """An epoch that somebody names, with their reason."""
    if f"epoch-{epoch:02d}" not in run.checkpoint_names():
        raise InvalidInput(
            "epoch", epoch, f"must be one that is kept: {', '.join(run.checkpoint_names()) or 'none is'}"
        )
    return _selection(epoch, "people", note or "chosen by hand", {})


def by_study(run: RunFolder, study: str, window: tuple[int, int], settings: Settings) -> Selection:
    """The epoch with the highest win rate in a finished judge study whose systems are named "epoch-NN"."""
    rates = study_win_rates(study, settings)
    epochs = _candidates(run, window)
    found = {int(name.removeprefix("epoch-")): rate for name, rate in rates.items() if re.fullmatch(r"epoch-\d+", name)}
    found = {epoch: rate for epoch, rate in found.items() if epoch in epochs}
    if not found:
        raise FailedPrecondition(
            f"{study} compares no kept epoch of run {run.run!r}", 'name its systems "epoch-05", "epoch-06", ...'
        )
    best = max(found, key=lambda epoch: (found[epoch], -epoch))
    evidence = {f"epoch-{epoch:02d}": rate for epoch, rate in found.items()}
    return _selection(best, "study", f"highest win rate in {study}: {found[best]:.3f}", evidence)


def study_win_rates(study: str, settings: Settings) -> dict[str, float]:
    """Each system's share of its comparisons won, a tie counting half, as the judging service tells it."""
    from lima.judging.v1.judging_pb2 import GetResultsRequest
    from lima.judging.v1.judging_pb2_grpc import JudgingServiceStub
    from services.shared.rpc.client import connect_blocking

    token = settings.token.get_secret_value() if settings.token else None
    with connect_blocking(settings.judging_address, token, settings=settings) as channel:
        results = JudgingServiceStub(channel).GetResults(GetResultsRequest(name=study), timeout=STUDY_SECONDS)
    return win_rates(results)


def win_rates(results: Any) -> dict[str, float]:
    """Win rates from lima.judging.v1.Results: wins plus half the ties, over all comparisons of a system."""
    won: dict[str, float] = {}
    met: dict[str, int] = {}
    for pair in results.pairs:
        count = pair.wins + pair.ties + pair.losses
        for system, wins in ((pair.first, pair.wins), (pair.second, pair.losses)):
            won[system] = won.get(system, 0.0) + wins + pair.ties / 2
            met[system] = met.get(system, 0) + count
    return {system: won[system] / count for system, count in met.items() if count}


def recorded(run: RunFolder) -> Selection | None:
    """The choice that was made before, here or by the judging service."""
    found = run.read_json("selection.json")
    return Selection.model_validate(found) if found is not None else None


def record(run: RunFolder, selection: Selection) -> None:
    """Write selection.json and name the checkpoint in the run's status."""
    run.storage.put_bytes(run.key("selection.json"), selection.model_dump_json(indent=1).encode())
    status = run.status()
    if status is not None:
        run.write_status(status.model_copy(update={"selected_checkpoint": selection.checkpoint}))


def _candidates(run: RunFolder, window: tuple[int, int]) -> list[int]:
    kept = [int(name.removeprefix("epoch-")) for name in run.checkpoint_names()]
    if not kept:
        raise FailedPrecondition(f"run {run.run!r} has no complete checkpoint", "wait for its first epoch")
    return [epoch for epoch in kept if window[0] <= epoch <= window[1]] or kept


def _selection(
    epoch: int, by: Literal["metric", "study", "people"], reason: str, evidence: dict[str, float]
) -> Selection:
    return Selection(
        checkpoint=checkpoint_name(epoch), epoch=epoch, by=by, reason=reason, evidence=evidence, time=datetime.now(UTC)
    )
