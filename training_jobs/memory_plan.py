"""How much memory, traffic and time a run needs, before it starts. Pure arithmetic; imports no torch.

    plan = memory_plan.plan(spec, config_json)
    plan.fits(80e9); print("\\n".join(plan.arithmetic))

Bytes per parameter with bf16: 2 for weights, 2 for gradients, 12 for AdamW (fp32 master and two moments), which is
the 16 that ZeRO (Rajbhandari et al., 2020, section 3.1) divides among N workers: stage 1 the 12, stage 2 also the
gradients, stage 3 everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from training_jobs.model_size import Shape
from training_jobs.spec import Compute, TrainingSpec

# Rows of logits that the output loss holds at a time (training_jobs.loss), as logits, gradient and scratch.
LOSS_ROWS = 256
LOSS_COPIES = 3
# DeepSpeed's default bucket, in elements: one for reduction; stage 3 has another to gather into.
BUCKET_ELEMENTS = 500_000_000
# The CUDA context, the allocator's slack and NCCL's buffers; not measured yet.
GPU_OVERHEAD_BYTES = 3_000_000_000
# The same of a CPU process: what benchmarks.train_memory measured above the rest, whatever the model's size.
CPU_OVERHEAD_BYTES = 58_000_000
# An H100's dense bf16 rate, and the share of it that a well-fed run reaches.
GPU_FLOPS = 989e12
UTILISATION = 0.4
# The paper's dataset (LIMA, table 1).
PAPER_TOKENS = 750_000
PAPER_EXAMPLES = 1000


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes, by what they hold. `device` is a worker's GPU, or its share of the host without one."""

    parameters: int
    device: Mapping[str, float]
    host: Mapping[str, float]
    traffic_per_step: float
    flop: float
    gpu_hours: float | None
    epoch_bytes: float
    state_bytes: float
    arithmetic: tuple[str, ...]

    @property
    def device_bytes(self) -> float:
        return sum(self.device.values())

    @property
    def host_bytes(self) -> float:
        """Per worker, beside what `device` counts."""
        return sum(self.host.values())

    def fits(self, device_bytes: float, host_bytes: float | None = None) -> bool:
        """Whether a worker with so much memory can run this."""
        return self.device_bytes <= device_bytes and (host_bytes is None or self.host_bytes <= host_bytes)


def plan(
    spec: TrainingSpec,
    config: Mapping[str, Any],
    *,
    tokens: int = PAPER_TOKENS,
    examples: int = PAPER_EXAMPLES,
) -> MemoryPlan:
    """What each worker of `spec` needs for a model with this config.json.

    Args:
        tokens, examples: size of the training split; the paper's by default.
    """
    shape = Shape.of(config)
    count = shape.parameters + shape.end_of_turn_parameters
    compute = spec.compute
    device, host = _states(spec, count)
    device["activations"] = activation_bytes(spec, shape)
    device["output loss"] = 4.0 * shape.vocabulary * (shape.width + LOSS_COPIES * LOSS_ROWS)
    if compute.engine == "ray" and _stage(spec) > 0:
        element = _element(spec)
        buckets = min(BUCKET_ELEMENTS, count) * (2 if _stage(spec) == 3 else 1)
        device["buckets"] = float(buckets * element)
    device["overhead"] = float(GPU_OVERHEAD_BYTES if compute.gpus_per_worker else CPU_OVERHEAD_BYTES)
    flop = 6.0 * count * tokens * spec.recipe.epochs
    gpu_hours = flop / (GPU_FLOPS * UTILISATION) / 3600 if compute.gpus_per_worker else None
    passes = max(1, -(-tokens * spec.recipe.batch_size // examples // compute.workers // compute.micro_batch_tokens))
    traffic = _traffic(spec, count, passes)
    weights = count * (2.0 if spec.checkpoints.dtype == "bfloat16" else _element(spec))
    return MemoryPlan(
        parameters=count,
        device=device,
        host=host,
        traffic_per_step=traffic,
        flop=flop,
        gpu_hours=gpu_hours,
        epoch_bytes=weights,
        state_bytes=12.0 * count,
        arithmetic=tuple(_explain(spec, count, device, host, traffic, flop, gpu_hours, weights)),
    )


def activation_bytes(spec: TrainingSpec, shape: Shape) -> float:
    """What a forward pass of the largest micro-batch keeps for the backward pass.

    Per token and layer, for the Llama form: each norm keeps its input (always fp32) and its result; then the inputs
    of the q/k/v, output, gate/up and down projections, q, k, v, the attention's output, and three results of the
    gated activation; a dropout keeps its mask on both branches.
    """
    element = _element(spec)
    tokens = max(spec.compute.micro_batch_tokens, spec.recipe.max_length)
    norms = 2 * shape.width * (4 + element)
    kept = 2 * shape.width + 3 * shape.query_width + 2 * shape.key_value_width + 4 * shape.inner
    mask = 1 if spec.compute.gpus_per_worker else element
    dropped = len(spec.recipe.residual_dropout.branches) * shape.width * mask
    layer = norms + kept * element + (dropped if spec.recipe.residual_dropout.enabled else 0)
    if spec.compute.activation_checkpointing:
        return float(tokens * (shape.layers * shape.width * element + layer))
    return float(tokens * shape.layers * layer)


def nearest_fit(
    spec: TrainingSpec, config: Mapping[str, Any], device_bytes: float, host_bytes: float | None = None
) -> tuple[TrainingSpec, str] | None:
    """The least change of `compute` that fits, and that change in words; None when nothing here does."""
    for changes in _remedies(spec):
        compute = Compute.model_validate(spec.compute.model_dump() | changes)
        changed = spec.model_copy(update={"compute": compute})
        if plan(changed, config).fits(device_bytes, host_bytes):
            return changed, ", ".join(f"compute.{name} = {value}" for name, value in changes.items())
    return None


def _stage(spec: TrainingSpec) -> int:
    return spec.compute.stage_for(spec.recipe.precision, spec.compute.workers)


def _element(spec: TrainingSpec) -> int:
    return 2 if spec.recipe.precision == "bf16" else 4


def _states(spec: TrainingSpec, count: int) -> tuple[dict[str, float], dict[str, float]]:
    compute, element = spec.compute, _element(spec)
    workers = compute.workers
    if compute.engine == "bare" or _stage(spec) == 0:
        # fp32 weights are their own masters; with bf16 the gradients are summed in fp32.
        gradients = element if element == 4 else 4
        masters = 0 if element == 4 else 4
        parts = {"weights": element, "gradients": gradients, "optimizer": 8 + masters}
        return {name: float(count * size) for name, size in parts.items()}, {}
    stage = _stage(spec)
    weights: float = count * element / (workers if stage == 3 else 1)
    if stage == 3 and compute.hpz_partition_size > 1:
        weights += count * element / compute.hpz_partition_size
    sharded_gradients = count * element / (workers if stage >= 2 else 1)
    optimizer = count * 12 / workers
    device = {"weights": weights, "gradients": sharded_gradients, "optimizer": optimizer}
    host: dict[str, float] = {}
    if compute.offload_optimizer:
        # DeepSpeed keeps fp32 gradients beside the offloaded optimizer.
        host["optimizer"] = device.pop("optimizer") + count * 4 / workers
    if compute.offload_parameters:
        host["weights"] = device.pop("weights")
    return device, host


def _traffic(spec: TrainingSpec, count: int, passes: int) -> float:
    """Bytes that a worker receives per optimiser step (ZeRO, section 7; ZeRO++, Wang et al., 2023, table 1)."""
    compute = spec.compute
    if compute.workers == 1:
        return 0.0
    size = float(count * _element(spec))
    if compute.engine == "bare" or compute.zero_stage < 3:
        return 2 * size * (passes if compute.zero_stage == 2 else 1)
    forward = size * (0.5 if compute.quantized_weights else 1)
    # With a secondary copy within the node, the backward gather does not leave it.
    backward = 0.0 if compute.hpz_partition_size > 1 else forward
    gradients = size * (0.25 if compute.quantized_gradients else 1)
    return (forward + backward + gradients) * passes


def _remedies(spec: TrainingSpec) -> Iterator[dict[str, Any]]:
    """Changes of `compute`, cheapest in speed first."""
    compute = spec.compute
    shorter = {"micro_batch_tokens": spec.recipe.max_length}
    if compute.micro_batch_tokens > spec.recipe.max_length:
        yield shorter
    saving: dict[str, Any] = {**shorter, "activation_checkpointing": True}
    yield saving
    if compute.engine == "ray":
        for stage in range(compute.zero_stage + 1, 4):
            yield {**saving, "zero_stage": stage}
        if compute.gpus_per_worker:
            yield {**saving, "zero_stage": 3, "offload_optimizer": True}
        for factor in (2, 4, 8, 16):
            yield {**saving, "zero_stage": 3, "workers": compute.workers * factor}


def _explain(
    spec: TrainingSpec,
    count: int,
    device: Mapping[str, float],
    host: Mapping[str, float],
    traffic: float,
    flop: float,
    gpu_hours: float | None,
    weights: float,
) -> Iterator[str]:
    compute = spec.compute
    stage = "one process" if compute.engine == "bare" else f"ZeRO-{_stage(spec)} on {compute.workers} workers"
    yield f"{count / 1e9:.3f} billion parameters, {spec.recipe.precision}, {stage}"
    for place, parts in (("device", device), ("host", host)):
        for name, size in parts.items():
            yield f"  {place:6} {name:12} {size / 1e9:10.2f} GB per worker"
    yield f"  device total        {sum(device.values()) / 1e9:10.2f} GB per worker"
    if host:
        yield f"  host total          {sum(host.values()) * compute.workers / 1e9:10.2f} GB over all workers"
    yield f"  traffic             {traffic / 1e9:10.2f} GB per worker and step"
    yield f"  checkpoint          {weights / 1e9:10.2f} GB per epoch, {12 * count / 1e9:.2f} GB for the full state"
    yield f"  work                {flop:10.2e} FLOP" + (f", {gpu_hours:.1f} GPU-hours" if gpu_hours else "")
