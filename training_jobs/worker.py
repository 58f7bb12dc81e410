"""One rank of a run: gathers its materials, resumes, trains, and (rank 0) tells the store."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import torch

from services.shared.errors import LimaError
from services.shared.records import MetricsRow, RunPhase
from services.shared.settings import Settings
from training_jobs import materials
from training_jobs.checkpoints import save_epoch, save_state, state_reader
from training_jobs.dev_answers import DevAnswers
from training_jobs.engines.base import Engine
from training_jobs.host import release_memory
from training_jobs.journal import Journal, restarted
from training_jobs.loop import Loop, Plan, Request, Stopped
from training_jobs.materials import Materials
from training_jobs.model import Trainee, load_model
from training_jobs.planning import (
    available_memory,
    read_config,
    refuse_longer_than_context,
    refuse_what_cannot_fit,
    workers_here,
)
from training_jobs.run_folder import RunFolder, checkpoint_name, state_name
from training_jobs.spec import TrainingSpec
from training_jobs.store_sync import Uploader
from training_jobs.tracking import Tracker

MakeEngine = Callable[[Trainee, TrainingSpec], Engine]
# Whether a node of the run has been told to go. Collective.
NodeLeaves = Callable[[], bool]
STOP_POLL_SECONDS = 2.0
LEAVE_POLL_SECONDS = 5.0
_log = structlog.get_logger()


class RunOutlet:
    """The loop's results, on their way to runs/<run>/."""

    def __init__(
        self,
        spec: TrainingSpec,
        run: RunFolder,
        work: Path,
        gathered: Materials,
        engine: Engine,
        node_leaves: NodeLeaves | None,
    ) -> None:
        self._spec = spec
        self._run = run
        self._work = work
        self._prepared = gathered.prepared
        self._prompts = gathered.prompts
        self._engine = engine
        self._answers: DevAnswers | None = None
        self._journal: Journal | None = None
        self._uploader: Uploader | None = None
        self._node_leaves = node_leaves
        self._polled = self._looked = 0.0
        self._stop_asked = False

    def begin(self, trainee: Trainee, step: int, plan: Plan, summary: dict[str, int]) -> None:
        self._trainee = trainee
        if self._engine.rank != 0:
            return
        for name in ("checkpoints", "state"):
            # Of an attempt that was killed before they had left.
            shutil.rmtree(self._work / name, ignore_errors=True)
        self._uploader = Uploader(self._run.storage)
        self._answers = DevAnswers(self._spec, self._run, self._work, self._prompts)
        tracker = Tracker(self._run.run, self._work / "tensorboard", self._spec.tracking, first_step=step)
        totals = {"total_steps": plan.total_steps, "total_epochs": self._spec.recipe.epochs}
        status = restarted(self._run, step, {**totals, "epoch": step // plan.steps_per_epoch})
        self._journal = Journal(self._run, self._uploader, tracker, status, self._engine.world_size)
        self._journal.update(now=True, message=_cut_message(summary))
        self._plan = plan

    def record(self, row: MetricsRow, *, tokens_per_second: float, eta_seconds: float) -> None:
        if self._journal is not None:
            self._journal.record(row)
            self._journal.update(
                step=row.step,
                epoch=int(row.epoch),
                loss=row.loss,
                tokens_per_second=tokens_per_second,
                eta_seconds=eta_seconds,
            )
            _log.info(
                "step",
                step=row.step,
                of=self._plan.total_steps,
                loss=round(row.loss, 4),
                tokens_per_second=round(tokens_per_second, 1),
            )

    def evaluated(self, row: MetricsRow) -> None:
        if self._journal is not None:
            self._journal.record(row)
            self._journal.update(now=True)
            _log.info("evaluation", epoch=row.epoch, perplexity=row.perplexity)

    def save_epoch(self, epoch: int) -> None:
        name = checkpoint_name(epoch)
        folder = self._work / name
        save_epoch(self._engine, self._trainee, self._prepared, folder, self._spec.checkpoints.dtype)
        if self._journal is None or self._uploader is None or self._answers is None:
            return
        self._answers.after_epoch(epoch, folder)
        described = {
            "run": self._run.run,
            "epoch": epoch,
            "step": self._journal.status.step,
            "identity": self._spec.identity,
            "recipe": self._spec.recipe.model_dump(mode="json"),
            "base_model": self._spec.base_model,
            "dataset": self._spec.dataset,
        }
        self._uploader.put_folder(self._run.key(name), folder, described, then=lambda: self._epoch_arrived(epoch))

    def save_state(self, step: int) -> None:
        folder = self._work / state_name(step)
        save_state(self._engine, folder)
        if self._journal is None or self._uploader is None:
            return
        # The rows up to this step leave before the state does, so a resumed run misses none.
        self._journal.update(now=True)
        described = {"step": step, "identity": self._spec.identity}
        self._uploader.put_folder(
            self._run.key(state_name(step)), folder, described, then=lambda: self._run.drop_states_before(step)
        )

    def problem(self) -> LimaError | None:
        return self._uploader.error if self._uploader is not None else None

    def requests(self) -> Request:
        """Asked of the store and of Ray now and then, not after every step."""
        found = Request(0)
        if self._journal is None:
            return found
        now = time.monotonic()
        if now - self._polled >= STOP_POLL_SECONDS:
            self._polled = now
            self._stop_asked = self._run.stop_request() is not None
        if self._node_leaves is not None and now - self._looked >= LEAVE_POLL_SECONDS:
            self._looked = now
            found |= Request.LOOK
        if self._stop_asked:
            found |= Request.STOP
        if self.problem() is not None:
            found |= Request.FAIL
        return found

    def node_leaves(self) -> bool:
        return self._node_leaves is not None and self._node_leaves()

    def before_leaving(self) -> None:
        """Once for all: when the node is gone, Ray starts the workers again, and those begin with a new outlet."""
        self._node_leaves = None
        if self._journal is not None and self._uploader is not None:
            self._uploader.drain()
            self._journal.note(f"a node leaves: the state of step {self._journal.status.step} is saved")
            self._journal.update(now=True)

    def finish(self) -> None:
        """The run is complete: wait for what is still on its way."""
        if self._journal is not None and self._answers is not None:
            # The answers need a model of their own.
            release_memory()
            said = [self._journal.status.message, self._answers.finish()]
            self._journal.finish(RunPhase.SUCCEEDED, "; ".join(text for text in said if text))

    def stop(self, phase: RunPhase) -> None:
        if self._journal is not None:
            self._journal.finish(phase, "stopped when asked; run again to go on")

    def close(self) -> None:
        if self._answers is not None:
            self._answers.cancel()
        if self._uploader is not None:
            self._uploader.close()

    def _epoch_arrived(self, epoch: int) -> None:
        assert self._journal is not None
        self._journal.update(last_checkpoint=checkpoint_name(epoch))
        keep = self._spec.checkpoints
        for name in self._run.checkpoint_names():
            number = int(name.removeprefix("epoch-"))
            outside = number < (keep.keep_first or 0) or number > (keep.keep_last or self._spec.recipe.epochs)
            if outside and number < epoch:
                self._run.storage.delete_prefix(self._run.key(f"checkpoints/{name}"))


def train(
    spec: TrainingSpec, settings: Settings, make_engine: MakeEngine, node_leaves: NodeLeaves | None = None
) -> None:
    """Run this rank to the run's end. Raises Stopped, or LimaError for what a person must mend."""
    torch.set_num_threads(spec.compute.threads or max(1, (os.cpu_count() or 1) // workers_here()))
    run = RunFolder.open(spec.run, spec.output, settings)
    work = settings.state_dir.absolute() / "training" / "runs" / spec.run
    work.mkdir(parents=True, exist_ok=True)
    config = read_config(spec, settings)
    refuse_longer_than_context(spec, config)
    refuse_what_cannot_fit(spec, config, available_memory(spec))
    gathered = materials.gather(spec, settings)
    plan = Plan.of(spec, len(gathered.train.sequences))
    model = load_model(gathered.prepared, spec.recipe, spec.compute)
    trainee = Trainee(model, spec.recipe)
    engine = make_engine(trainee, spec)
    step = resume(engine, run, work)
    outlet = RunOutlet(spec, run, work, gathered, engine, node_leaves)
    outlet.begin(trainee, step, plan, gathered.train.summary())
    try:
        Loop(spec, gathered.train, gathered.held_out, engine, outlet).run(step)
        outlet.finish()
    except Stopped:
        outlet.stop(RunPhase.CANCELLED if run.stop_request() == "cancel" else RunPhase.PENDING)
        raise
    finally:
        outlet.close()


def resume(engine: Engine, run: RunFolder, work: Path) -> int:
    """Load the newest complete state, if there is one. Returns the optimiser steps that are done."""
    steps = run.state_steps()
    if not steps:
        return 0
    step = steps[-1]
    folder = work / f"resume-{engine.rank}" / f"step-{step:06d}"
    try:
        run.storage.get_folder(run.key(state_name(step)), folder)
        engine.load_state(state_reader(folder), step)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    engine.barrier()
    _log.info("resumed", step=step)
    return step


def _cut_message(summary: dict[str, int]) -> str:
    if not summary["cut_examples"]:
        return ""
    return f"{summary['cut_tokens']} tokens at the ends of {summary['cut_examples']} examples are over the length limit"
