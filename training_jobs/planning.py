"""`plan` for people: a spec, its model's config.json and its dataset, against the memory that is there."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.shared.errors import FailedPrecondition, InvalidInput, NotFound
from services.shared.settings import Settings
from training_jobs.memory_plan import MemoryPlan, nearest_fit, plan
from training_jobs.spec import TrainingSpec
from training_jobs.storage import locate

UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class PlanReport:
    spec: TrainingSpec
    plan: MemoryPlan
    device_bytes: float | None
    advice: str

    @property
    def fits(self) -> bool:
        return self.device_bytes is None or self.plan.fits(self.device_bytes)

    def lines(self) -> list[str]:
        if self.device_bytes is None:
            return list(self.plan.arithmetic)
        verdict = f"a worker has {self.device_bytes / 1e9:.2f} GB: " + ("it fits" if self.fits else "it does not fit")
        return [*self.plan.arithmetic, verdict, *([self.advice] if self.advice else [])]

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
            "checkpoint_bytes": self.plan.epoch_bytes,
            "state_bytes": self.plan.state_bytes,
        }
        return {"run": self.spec.run, **numbers, "fits": self.fits, "advice": self.advice}


def plan_report(spec: TrainingSpec, settings: Settings, device_memory: str = "") -> PlanReport:
    """Plan a run. Raises InvalidInput for a model without a readable config.json."""
    config = read_config(spec, settings)
    limit = parse_bytes(device_memory) if device_memory else None
    planned = plan(spec, config)
    advice = "" if limit is None or planned.fits(limit) else remedy(spec, config, limit)
    return PlanReport(spec, planned, limit, advice)


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

        return float(torch.cuda.get_device_properties(0).total_memory)
    workers_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return host_memory() / workers_here


def host_memory() -> float:
    """Free bytes, of the machine or of the container's limit where that is less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = float(found[1]) * 1024 if found else float("inf")
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        free = min(free, float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return free
