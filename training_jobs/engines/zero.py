"""DeepSpeed ZeRO 0 to 3 over the process group that Ray Train has set up.

The step's micro-batches differ in number from step to step, so accumulation boundaries are set by hand, and the
loss comes in already normalised over the whole step: only DeepSpeed's mean over ranks is undone here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist

from training_jobs.engines.base import MOMENTS, WEIGHT
from training_jobs.memory_plan import BUCKET_ELEMENTS
from training_jobs.model import Batch, Trainee
from training_jobs.recipe import optimizer
from training_jobs.spec import Compute, Recipe


def deepspeed_config(recipe: Recipe, compute: Compute, world_size: int, parameters: int) -> dict[str, Any]:
    """DeepSpeed's settings; the step's size and the learning rate stay in our hands."""
    stage = compute.stage_for(recipe.precision, world_size)
    bucket = min(BUCKET_ELEMENTS, parameters)
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": compute.gpus_per_worker > 0,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
    }
    if compute.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": compute.gpus_per_worker > 0}
    if compute.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": compute.gpus_per_worker > 0}
    if stage == 3:
        zero["zero_hpz_partition_size"] = compute.hpz_partition_size
        zero["zero_quantized_weights"] = compute.quantized_weights
        zero["zero_quantized_gradients"] = compute.quantized_gradients
    return {
        "train_batch_size": world_size,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": recipe.gradient_clip or 0.0,
        "zero_allow_untested_optimizer": True,
        # AdamW comes from torch; DeepSpeed's own would be compiled on first use.
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": zero,
        "bf16": {"enabled": recipe.precision == "bf16"},
        "steps_per_print": 2**31,
    }


def initialise(trainee: Trainee, recipe: Recipe, compute: Compute) -> Any:
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if compute.gpus_per_worker else "cpu")
    import deepspeed

    if not compute.gpus_per_worker:
        # DeepSpeed would compile a shared-memory all-reduce for CPUs on first use (85 CPU-seconds, and a lock that
        # a killed build leaves behind). Gloo does the same job.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    engine, *_ = deepspeed.initialize(
        model=trainee,
        optimizer=optimizer([p for p in trainee.parameters() if p.requires_grad], recipe),
        config=deepspeed_config(
            recipe, compute, dist.get_world_size(), sum(param.numel() for param in trainee.parameters())
        ),
    )
    return engine


class ZeroEngine:
    def __init__(self, trainee: Trainee, recipe: Recipe, compute: Compute) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self._engine = initialise(trainee, recipe, compute)
        self.device = torch.device(self._engine.device)
        self._stage = compute.stage_for(recipe.precision, self.world_size)
        self._sharded = hasattr(self._engine.optimizer, "optimizer")
        self._params = trainee.named_weights()
        self._make_moments()

    def accumulate(self, batch: Batch, *, last: bool) -> torch.Tensor:
        self._engine.train()
        self._engine.set_gradient_accumulation_boundary(last)
        loss: torch.Tensor = self._engine(batch.to(self.device))
        self._engine.backward(loss * self.world_size)
        return loss.detach()

    def update(self, learning_rate: float) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self._sharded:
            self._engine.step()
            return float(self._engine.get_global_grad_norm())
        # Stage 0 in fp32 keeps whole, already averaged gradients, and no record of their norm.
        gradients = [param.grad for param in self._params.values() if param.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        self._engine.step()
        return norm

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> torch.Tensor:
        self._engine.eval()
        loss: torch.Tensor = self._engine(batch.to(self.device))
        return loss

    def sum(self, value: torch.Tensor) -> float:
        total = value.detach().clone().float().to(self.device)
        dist.all_reduce(total)
        return float(total)

    def barrier(self) -> None:
        dist.barrier()

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, param in self._params.items():
            with self._whole(param):
                yield name, param.detach()

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, param in self._params.items():
            if param.requires_grad:
                for part in (WEIGHT, *MOMENTS):
                    yield f"{part}/{name}", self._get(param, part)

    def load_state(self, read: Callable[[str], torch.Tensor], updates: int) -> None:
        with torch.no_grad():
            for name, param in self._params.items():
                if param.requires_grad:
                    for part in (WEIGHT, *MOMENTS):
                        self._set(param, part, read(f"{part}/{name}"))
            for state in self._adam().state.values():
                # AdamW counts its steps per parameter; the count corrects the moments' bias.
                state["step"] = torch.tensor(float(updates))

    def _make_moments(self) -> None:
        # AdamW makes its moments at its first step, and ZeRO 1 and 2 tie parameters to them after the first group's
        # (deepspeed 0.19.8): the second group's would never be found. So they are made, and tied, at once.
        if not self._sharded:
            return
        zero = self._engine.optimizer
        if self._stage == 3:
            partitions = list(zero.fp32_partitioned_groups_flat)
        else:
            partitions = [param for group in self._adam().param_groups for param in group["params"]]
        for partition in partitions:
            moments = {moment: torch.zeros_like(partition) for moment in MOMENTS}
            self._adam().state[partition] = {"step": torch.tensor(0.0), **moments}
        if self._stage != 3:
            zero._lazy_init_hp_params_optimizer_state()

    def _adam(self) -> torch.optim.Optimizer:
        adam = self._engine.optimizer.optimizer if self._sharded else self._engine.optimizer
        assert isinstance(adam, torch.optim.Optimizer)
        return adam

    def _whole(self, param: torch.nn.Parameter, *, writable: bool = False) -> AbstractContextManager[None]:
        """Within it the parameter has its whole shape; a writable one is sharded again as rank 0 left it."""
        if self._stage != 3:
            return nullcontext()
        import deepspeed

        gathered: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(
            [param], modifier_rank=0 if writable else None
        )
        return gathered

    def _get(self, param: torch.nn.Parameter, part: str) -> torch.Tensor:
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if not self._sharded:
            return param.detach() if part == WEIGHT else self._adam().state[param][part]
        value = safe_get_full_fp32_param(param) if part == WEIGHT else safe_get_full_optimizer_state(param, part)
        assert isinstance(value, torch.Tensor)
        return value

    def _set(self, param: torch.nn.Parameter, part: str, value: torch.Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        value = value.to(self.device)
        if not self._sharded:
            if part == WEIGHT:
                param.copy_(value)
            else:
                self._adam().state[param][part] = value.clone()
        elif part == WEIGHT:
            safe_set_full_fp32_param(param, value)
            # The copy that the model computes with follows its master only at the next update.
            with self._whole(param, writable=True):
                param.copy_(value)
        else:
            safe_set_full_optimizer_state(param, value, part)
