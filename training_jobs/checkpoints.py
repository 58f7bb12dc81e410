"""Folders that a run leaves: an epoch's weights for others to load, and the full state to resume from."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import GenerationConfig

from services.shared.errors import DataCorrupt
from training_jobs.base_model import load_tokenizer
from training_jobs.engines.base import Engine
from training_jobs.model import Trainee
from training_jobs.tokens import check_stop_token

# Also what saving a state needs in memory beside the training itself.
SHARD_BYTES = 512 << 20
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def save_epoch(engine: Engine, trainee: Trainee, prepared: Path, folder: Path, dtype: str) -> None:
    """Write a Hugging Face folder on rank 0. Collective.

    Everything but the weights comes from the prepared base folder: tokenizer, chat template, generation settings.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in engine.weights():
        if engine.rank == 0:
            weights[name] = tensor.to("cpu", copy=True)
    if engine.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        plain = {name: tensor.to(_DTYPES.get(dtype, tensor.dtype)) for name, tensor in trainee.plain(weights).items()}
        trainee.model.save_pretrained(folder, state_dict=plain, max_shard_size="5GB")
        if dtype in _DTYPES:
            # The file says what the weights are in, and loaders believe it.
            config = copy.deepcopy(trainee.model.config)
            config.dtype = _DTYPES[dtype]
            config.save_pretrained(folder)
        tokenizer = load_tokenizer(prepared)
        tokenizer.save_pretrained(folder)
        if (prepared / "generation_config.json").is_file():
            GenerationConfig.from_pretrained(prepared).save_pretrained(folder)
        check_stop_token(folder, str(tokenizer.eos_token))
    engine.barrier()


def save_state(engine: Engine, folder: Path) -> None:
    """Write the full training state on rank 0 as safetensors of at most about SHARD_BYTES. Collective."""
    shard: dict[str, torch.Tensor] = {}
    size = number = 0
    if engine.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def flush() -> None:
        nonlocal shard, size, number
        if shard:
            number += 1
            save_file(shard, folder / f"state-{number:05d}.safetensors")
        shard, size = {}, 0

    for name, tensor in engine.state():
        if engine.rank == 0:
            shard[name] = tensor.to("cpu", torch.float32, copy=True)
            size += shard[name].nbytes
            if size >= SHARD_BYTES:
                flush()
    flush()
    engine.barrier()


def state_reader(folder: Path) -> Callable[[str], torch.Tensor]:
    """Reads one tensor of a saved state at a time. Raises DataCorrupt for a name that the state lacks."""
    files: list[Any] = [safe_open(path, framework="pt") for path in sorted(folder.glob("state-*.safetensors"))]
    where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - not a dict

    def read(name: str) -> torch.Tensor:
        if name not in where:
            raise DataCorrupt(f"{folder} has no {name}", "delete the run's state/ to begin again")
        tensor: torch.Tensor = where[name].get_tensor(name)
        return tensor

    return read
