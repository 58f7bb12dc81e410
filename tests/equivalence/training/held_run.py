"""`python -m training_jobs`, which waits before a given step until somebody asks the run to stop.

    python -m tests.equivalence.training.held_run STEPS run --spec SPEC

A run that a test interrupts must be found running, however fast it is and however slow the machine.
"""

from __future__ import annotations

import sys
import time

from training_jobs import worker
from training_jobs.__main__ import main
from training_jobs.dataset import Sequence
from training_jobs.loop import Loop


def hold_after(steps: int) -> None:
    """Let the training loop of this process take so many optimiser steps, and no further one until it is asked to."""
    worker.STOP_POLL_SECONDS = 0.0
    take = Loop._one_step

    def held(self: Loop, epoch: int, step: int, examples: list[Sequence]) -> None:
        while step == steps and not self._outlet.requests():
            time.sleep(0.02)
        take(self, epoch, step, examples)

    Loop._one_step = held  # type: ignore[method-assign]


if __name__ == "__main__":
    hold_after(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
