"""`plan` for people: a spec, its model's config.json and its dataset, against the memory that is there."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from services.shared.errors import FailedPrecondition, InvalidInput, LimaError, NotFound
from services.shared.settings import Settings
from training_jobs.memory_plan import (
    PAPER_EXAMPLES,
    PAPER_TOKENS,
    MemoryPlan,
    activation_bytes,
    nearest_fit,
    plan,
)
from training_jobs.model_size import Shape
from training_jobs.spec import Compute, TrainingSpec
from training_jobs.step_plan import steps_per_epoch
from training_jobs.storage import locate

UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


# Tokens in one forward pass that the table of activations shows.
LENGTHS = (512, 1024, 2048, 4096, 8192)
# Of the rate of bare matrix products, what a step on a processor keeps (benchmarks.train_throughput).
PROCESSOR_SHARE = 0.55


@dataclass(frozen=True)
class PlanReport:
    """A plan with what surrounds it.

    Attributes:
        examples: in the training split, or the paper's where it cannot be read; see `counted`.
        stages: bytes on a worker's device, and beside it on the host, by ZeRO stage.
        activations: bytes that a forward pass of so many tokens keeps.
        processor_hours: expected on this machine's processor; None for a run on GPUs.
    """

    spec: TrainingSpec
    plan: MemoryPlan
    device_bytes: float | None
    advice: str
    examples: int
    counted: bool
    steps: int
    stages: dict[int, tuple[float, float]]
    activations: dict[int, float]
    processor_hours: float | None

    @property
    def fits(self) -> bool:
        return self.device_bytes is None or self.plan.fits(self.device_bytes)

    def lines(self) -> list[str]:
        origin = "" if self.counted else " (the paper's: this dataset could not be read)"
        lines = [
            *self.plan.arithmetic,
            f"  steps               {self.steps:10} of {self.spec.recipe.batch_size} examples, "
            f"{self.spec.recipe.epochs} epochs of {self.examples}{origin}",
            "  bytes per worker, by ZeRO stage:",
            *(
                f"    ZeRO-{stage} device {device / 1e9:10.2f} GB" + (f", host {host / 1e9:.2f} GB" if host else "")
                for stage, (device, host) in self.stages.items()
            ),
            "  activations, by tokens in one forward pass:",
            *(f"    {tokens:6} {size / 1e9:10.2f} GB" for tokens, size in self.activations.items()),
        ]
        if self.processor_hours is not None:
            lines.append(
                f"  time                {self.processor_hours:10.1f} hours on this machine's processor, roughly"
            )
        if self.device_bytes is not None:
            verdict = "it fits" if self.fits else "it does not fit"
            lines.append(f"a worker has {self.device_bytes / 1e9:.2f} GB: {verdict}")
        return [*lines, *([self.advice] if self.advice else [])]

    def as_json(self) -> dict[str, Any]:
        numbers = {
            "parameters": self.plan.parameters,
            "device_bytes": self.plan.device_bytes,
            "device": dict(self.plan.device),
            "host_bytes": self.plan.host_bytes,
            "host": dict(self.plan.host),
            "traffic_bytes_per_step": self.plan.traffic_per_step,
            "flop": self.plan.flop,
            "gpu_hours": self.plan.gpu_hours,
            "processor_hours": self.processor_hours,
            "checkpoint_bytes": self.plan.epoch_bytes,
            "state_bytes": self.plan.state_bytes,
            "examples": self.examples,
            "steps": self.steps,
            "stages": {
                stage: {"device_bytes": device, "host_bytes": host} for stage, (device, host) in self.stages.items()
            },
            "activation_bytes": self.activations,
        }
        return {"run": self.spec.run, **numbers, "fits": self.fits, "advice": self.advice}


def plan_report(spec: TrainingSpec, settings: Settings, device_memory: str = "") -> PlanReport:
    """Plan a run. Raises InvalidInput for a model without a readable config.json."""
    config = read_config(spec, settings)
    refuse_longer_than_context(spec, config)
    limit = parse_bytes(device_memory) if device_memory else None
    counted = count_examples(spec, settings)
    examples = counted or PAPER_EXAMPLES
    planned = plan(spec, config, tokens=PAPER_TOKENS * examples // PAPER_EXAMPLES, examples=examples)
    return PlanReport(
        spec,
        planned,
        limit,
        advice="" if limit is None or planned.fits(limit) else remedy(spec, config, limit),
        examples=examples,
        counted=bool(counted),
        steps=steps_per_epoch(spec.recipe, examples) * spec.recipe.epochs,
        stages=_by_stage(spec, config),
        activations=_by_length(spec, config),
        processor_hours=None if spec.compute.gpus_per_worker else planned.flop / _processor_rate() / 3600,
    )


def count_examples(spec: TrainingSpec, settings: Settings) -> int:
    """Lines of the training split; 0 where it cannot be read."""
    try:
        storage, prefix = locate(spec.dataset, settings)
        data = storage.get_bytes(f"{prefix}/train.jsonl", max_bytes=1 << 30)
    except LimaError:
        return 0
    return sum(1 for line in data.splitlines() if line.strip())


def _by_stage(spec: TrainingSpec, config: dict[str, Any]) -> dict[int, tuple[float, float]]:
    found = {}
    for stage in (0, 1, 2, 3):
        # What is offloaded or cut further needs its stage, so the others are shown without.
        changes: dict[str, Any] = {"engine": "ray", "zero_stage": stage}
        if stage != 3:
            changes |= {"offload_parameters": False, "hpz_partition_size": 1, "quantized_weights": False}
        compute = Compute.model_validate(spec.compute.model_dump() | changes)
        planned = plan(spec.model_copy(update={"compute": compute}), config)
        found[stage] = (planned.device_bytes, planned.host_bytes)
    return found


def _by_length(spec: TrainingSpec, config: dict[str, Any]) -> dict[int, float]:
    found = {}
    for tokens in LENGTHS:
        compute = spec.compute.model_copy(update={"micro_batch_tokens": tokens})
        recipe = spec.recipe.model_copy(update={"max_length": tokens})
        found[tokens] = activation_bytes(
            spec.model_copy(update={"compute": compute, "recipe": recipe}), Shape.of(config)
        )
    return found


def _processor_rate() -> float:
    """FLOP per second that a training step reaches here, from a matrix product that takes a blink."""
    left, right = numpy.ones((1024, 576), numpy.float32), numpy.ones((576, 1536), numpy.float32)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - began)
    # The best of them: who else works on this machine makes products slower, never faster.
    return PROCESSOR_SHARE * 2.0 * left.size * right.shape[1] / min(seconds)


def read_config(spec: TrainingSpec, settings: Settings) -> dict[str, Any]:
    storage, prefix = locate(spec.base_model, settings)
    try:
        config = json.loads(storage.get_bytes(f"{prefix}/config.json", max_bytes=1 << 20))
    except (NotFound, ValueError):
        config = None
    if not isinstance(config, dict):
        raise InvalidInput("base_model", spec.base_model, "must be a folder with a readable config.json")
    return config


def parse_bytes(text: str) -> float:
    """ "80GB", "24 GiB" or "1e9" -> bytes. Raises InvalidInput."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d{1,2})?)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].upper() not in UNITS:
        raise InvalidInput("device-memory", text, "must be a number of bytes, as in 80GB or 24GiB")
    return float(found[1]) * UNITS[found[2].upper()]


def remedy(spec: TrainingSpec, config: dict[str, Any], limit: float) -> str:
    found = nearest_fit(spec, config, limit)
    if found is None:
        return "no setting fits: use a smaller model, or workers with more memory"
    return f"the nearest that fits: {found[1]}"


def refuse_longer_than_context(spec: TrainingSpec, config: dict[str, Any]) -> None:
    """Raises InvalidInput for a length limit past the positions that the model knows."""
    context = config.get("max_position_embeddings")
    if isinstance(context, int) and spec.recipe.max_length > context:
        raise InvalidInput(
            "recipe.max_length",
            spec.recipe.max_length,
            f"must be at most {context}, the context of the base model (max_position_embeddings)",
            f"set recipe.max_length = {context}; longer examples are then cut there",
        )


def refuse_what_cannot_fit(spec: TrainingSpec, config: dict[str, Any], available: float) -> None:
    """Raises FailedPrecondition, with the nearest setting that fits, before anything is loaded."""
    planned = plan(spec, config)
    if not planned.fits(available):
        needed, there = planned.device_bytes / 1e9, available / 1e9
        raise FailedPrecondition(
            f"this run needs {needed:.1f} GB per worker, and {there:.1f} GB are there", remedy(spec, config, available)
        )


def available_memory(spec: TrainingSpec) -> float:
    """Bytes that this worker may use: its GPU's, or its share of this machine's free memory."""
    if spec.compute.gpus_per_worker:
        import torch

        if not torch.cuda.is_available():
            raise FailedPrecondition(
                f"compute.gpus_per_worker = {spec.compute.gpus_per_worker}, and torch finds no GPU here",
                "set it to 0 to train on the processor, or start the run where GPUs are",
            )
        return float(torch.cuda.get_device_properties(0).total_memory)
    return host_memory() / workers_here()


def workers_here() -> int:
    """Workers of this run that share this machine. Ray Train says so to each."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def host_memory() -> float:
    """Free bytes, of the machine or of the container's limit where that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = float(found[1]) * 1024 if found else float("inf")
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        free = min(free, float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return free
