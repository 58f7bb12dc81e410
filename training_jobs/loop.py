"""The training loop: steps of exactly `batch_size` examples, an evaluation and a checkpoint per epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntFlag
from typing import Protocol

import torch

from services.shared.errors import FailedPrecondition, LimaError, ResourceExhausted
from services.shared.records import MetricsRow
from training_jobs.batches import flatten, target_weights
from training_jobs.dataset import Corpus, Sequence
from training_jobs.engines.base import Engine
from training_jobs.recipe import learning_rate
from training_jobs.spec import TrainingSpec
from training_jobs.step_plan import Limits, divide, epoch_steps, steps_per_epoch


class Request(IntFlag):
    """What rank 0 wants of every rank after a step."""

    FAIL = 1  # results could not be saved
    STOP = 2  # somebody asked the run to save and stop
    LOOK = 4  # it is time to ask whether a node leaves


class Outlet(Protocol):
    """Where the loop's results go.

    `save_*`, `node_leaves` and `before_leaving` are collective; the rest does nothing but on rank 0.
    """

    def record(self, row: MetricsRow, *, tokens_per_second: float, eta_seconds: float) -> None: ...
    def evaluated(self, row: MetricsRow) -> None: ...
    def save_epoch(self, epoch: int) -> None: ...
    def save_state(self, step: int) -> None: ...
    def problem(self) -> LimaError | None: ...
    def requests(self) -> Request: ...
    def node_leaves(self) -> bool:
        """Whether a node of the run has been told to go, and its state is not saved yet."""

    def before_leaving(self) -> None:
        """Wait until what was saved has arrived."""


class Stopped(Exception):
    """The run was asked to stop; its state is saved."""


@dataclass(frozen=True)
class Plan:
    """How long a run is."""

    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, spec: TrainingSpec, examples: int) -> Plan:
        each = steps_per_epoch(spec.recipe, examples)
        return cls(each, each * spec.recipe.epochs)


class Loop:
    def __init__(self, spec: TrainingSpec, train: Corpus, held_out: Corpus, engine: Engine, outlet: Outlet) -> None:
        self._spec = spec
        self._recipe = spec.recipe
        self._train = train
        self._held_out = held_out
        self._engine = engine
        self._outlet = outlet
        self._limits = Limits(spec.compute.micro_batch_tokens, spec.compute.micro_batch_examples)
        self.plan = Plan.of(spec, len(train.sequences))
        self._durations: list[float] = []

    def run(self, start_step: int) -> None:
        """Train from `start_step` (optimiser steps done already) to the end.

        Raises:
            Stopped: asked to stop; the full state is saved.
            LimaError: the loss diverged, memory ran out, or results could not be saved.
        """
        if start_step == 0:
            self._evaluate(epoch=0, step=0)
        for epoch in range(start_step // self.plan.steps_per_epoch + 1, self._recipe.epochs + 1):
            before = (epoch - 1) * self.plan.steps_per_epoch
            for index, examples in enumerate(epoch_steps(self._recipe, len(self._train.sequences), epoch)):
                if before + index >= start_step:
                    self._one_step(epoch, before + index, [self._train.sequences[i] for i in examples])
                    self._after_step(epoch, before + index + 1)
            self._evaluate(epoch, before + self.plan.steps_per_epoch)
            self._outlet.save_epoch(epoch)
            self._outlet.save_state(before + self.plan.steps_per_epoch)

    def _one_step(self, epoch: int, step: int, examples: list[Sequence]) -> None:
        began = time.monotonic()
        # Dropout depends on the step alone, so a resumed run draws what the uninterrupted one would have.
        torch.manual_seed(hash((self._recipe.seed, step, self._engine.rank)))
        with _memory_explained(self._spec):
            loss = self._engine.sum(self._accumulate(examples))
            self._check_loss(loss, step, examples)
            rate = learning_rate(self._recipe, step, self.plan.total_steps)
            norm = self._engine.update(rate)
        if not math.isfinite(norm):
            raise _diverged(f"the gradient's norm is {norm}", step, examples)
        seconds = time.monotonic() - began
        self._durations = [*self._durations[-19:], seconds]
        tokens = sum(len(example.tokens) for example in examples)
        row = MetricsRow(
            kind="step",
            step=step + 1,
            epoch=(step + 1) / self.plan.steps_per_epoch,
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_second=tokens / seconds,
            target_tokens=sum(example.targets for example in examples),
            time=datetime.now(UTC),
        )
        left = (self.plan.total_steps - step - 1) * sum(self._durations) / len(self._durations)
        self._outlet.record(row, tokens_per_second=tokens / seconds, eta_seconds=left)

    def _accumulate(self, examples: SequenceOf[Sequence]) -> torch.Tensor:
        weights = target_weights(self._recipe, examples)
        micro_batches = self._mine(examples)
        loss = torch.zeros((), device=self._engine.device)
        for number, members in enumerate(micro_batches, start=1):
            batch = flatten([examples[i] for i in members], weights)
            loss += self._engine.accumulate(batch, last=number == len(micro_batches))
        return loss

    def _mine(self, examples: SequenceOf[Sequence]) -> list[list[int]]:
        lengths = [len(example.tokens) for example in examples]
        return divide(range(len(examples)), lengths, self._engine.world_size, self._limits)[self._engine.rank]

    def _check_loss(self, loss: float, step: int, examples: SequenceOf[Sequence]) -> None:
        # Guessing uniformly costs ln(vocabulary); twice that is not learning but exploding.
        ceiling = 2 * math.log(self._vocabulary)
        if not math.isfinite(loss) or loss > ceiling:
            raise _diverged(f"the loss is {loss:.4g} (more than {ceiling:.4g} or not a number)", step, examples)

    def _after_step(self, epoch: int, step: int) -> None:
        # Known to rank 0 alone; every rank must act on them together.
        asked = Request(int(self._engine.sum(torch.tensor(float(self._outlet.requests())))))
        if Request.FAIL in asked:
            raise self._outlet.problem() or FailedPrecondition("results could not be saved; rank 0 says why")
        if step == epoch * self.plan.steps_per_epoch:
            # The end of an epoch saves the state in any case.
            return
        leaving = Request.LOOK in asked and self._outlet.node_leaves()
        every = self._spec.checkpoints.state_every_steps
        if Request.STOP in asked or leaving or (every and step % every == 0):
            self._outlet.save_state(step)
        if Request.STOP in asked:
            raise Stopped
        if leaving:
            self._outlet.before_leaving()

    def _evaluate(self, epoch: int, step: int) -> None:
        examples = self._held_out.sequences
        if not examples:
            return
        targets = sum(example.targets for example in examples)
        weights = {example.id: 1.0 / targets for example in examples}
        loss = torch.zeros((), device=self._engine.device)
        with _memory_explained(self._spec):
            for members in self._mine(examples):
                loss += self._engine.evaluate(flatten([examples[i] for i in members], weights))
        mean = self._engine.sum(loss)
        # Past this the perplexity is no longer a number worth a figure, and exp() overflows.
        perplexity = math.exp(min(mean, 50.0))
        now = datetime.now(UTC)
        row = MetricsRow(
            kind="evaluation", step=step, epoch=epoch, loss=mean, perplexity=perplexity, target_tokens=targets, time=now
        )
        self._outlet.evaluated(row)

    @property
    def _vocabulary(self) -> int:
        return max(int(max(sequence.tokens.max() for sequence in self._train.sequences)) + 1, 32)


def _diverged(what: str, step: int, examples: SequenceOf[Sequence]) -> FailedPrecondition:
    names = ", ".join(example.id for example in examples[:8]) + (", ..." if len(examples) > 8 else "")
    return FailedPrecondition(
        f"training diverged at step {step + 1}: {what}, on examples {names}",
        "the last good state is kept: look at those examples, or lower recipe.learning_rate",
    )


@contextmanager
def _memory_explained(spec: TrainingSpec) -> Iterator[None]:
    """Turns running out of memory inside the block into advice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not exhausted:
            raise
        raise ResourceExhausted(
            f"out of memory in a forward pass of at most {spec.compute.micro_batch_tokens} tokens",
            remedy="lower compute.micro_batch_tokens, set compute.activation_checkpointing, or shard further "
            f"(compute.zero_stage is {spec.compute.zero_stage}); `lima train plan` says what fits",
        ) from error
