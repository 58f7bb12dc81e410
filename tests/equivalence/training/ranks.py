"""Runs several specs, one after another, on gloo ranks without Ray: `ranks.py RANK WORLD STORE SPEC...`.

The ranks are what Ray Train starts on its workers; one pair of processes for all specs keeps the tests short.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from services.shared.settings import Settings
from training_jobs import worker
from training_jobs.driver import zero_engine
from training_jobs.spec import load_spec


def main(rank: int, world: int, store: str, specs: list[str]) -> None:
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, world), rank=rank, world_size=world, timeout=timedelta(seconds=600)
    )
    for path in specs:
        worker.train(load_spec(Path(path)), Settings(), zero_engine)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
