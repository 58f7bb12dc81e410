"""Curves of a run: TensorBoard files always, MLflow and Weights & Biases where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.shared.errors import FailedPrecondition
from services.shared.records import MetricsRow
from training_jobs.spec import Tracking

_CURVES = ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "perplexity")


class Tracker:
    """Sends every metrics row to each tracker. Raises FailedPrecondition for a tracker that is not installed."""

    def __init__(self, run: str, folder: Path, settings: Tracking, *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder
        # Rows after the step that a run resumes at are of an attempt that was lost.
        self._board = SummaryWriter(str(folder), purge_step=first_step + 1)
        self._mlflow = _mlflow(run, settings.mlflow_uri) if settings.mlflow_uri else None
        self._wandb = _wandb(run, settings.wandb_project) if settings.wandb_project else None

    def record(self, row: MetricsRow) -> None:
        values = {f"{row.kind}/{name}": value for name in _CURVES if (value := getattr(row, name)) is not None}
        for name, value in values.items():
            self._board.add_scalar(name, value, row.step)
        if self._mlflow is not None:
            self._mlflow.log_metrics({name.replace("/", "."): value for name, value in values.items()}, step=row.step)
        if self._wandb is not None:
            self._wandb.log(values, step=row.step)

    def files(self) -> list[Path]:
        """TensorBoard's event files, flushed."""
        self._board.flush()
        return sorted(self._folder.glob("events.out.tfevents.*"))

    def close(self) -> None:
        self._board.close()
        if self._mlflow is not None:
            self._mlflow.end_run()
        if self._wandb is not None:
            self._wandb.finish()


def _mlflow(run: str, uri: str) -> Any:
    try:
        import mlflow  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise FailedPrecondition(
            "tracking.mlflow_uri is set, but mlflow is not installed",
            "install the extra: uv pip install 'lima[mlflow]'",
        ) from None
    mlflow.set_tracking_uri(uri)
    # A run that is continued goes on where it stopped: its name is its own.
    before = mlflow.search_runs(
        filter_string=f"attributes.run_name = '{run}'", max_results=1, output_format="list", search_all_experiments=True
    )
    mlflow.start_run(run_id=before[0].info.run_id if before else None, run_name=None if before else run)
    return mlflow


def _wandb(run: str, project: str) -> Any:
    try:
        import wandb  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise FailedPrecondition(
            "tracking.wandb_project is set, but wandb is not installed",
            "install the extra: uv pip install 'lima[wandb]'",
        ) from None
    return wandb.init(project=project, name=run, id=run, resume="allow")
