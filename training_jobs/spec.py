"""What a training run is: typed, validated, written in full beside every checkpoint.

Imports no torch: the operator and the CLI read specs too. Every default is a number of the LIMA paper,
or our recorded choice where the paper leaves one open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.shared.digest import digest_json
from services.shared.errors import InvalidInput, InvalidInputs
from training_jobs.presets import PRESETS

MAX_SPEC_BYTES = 1 << 20
RunName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EndOfTurn(Section):
    """The new special token that closes every utterance (LIMA, section 3)."""

    token: Annotated[str, Field(min_length=1, max_length=64)] = "<|eot|>"  # noqa: S105 - no password
    # "mean" starts its rows at the mean of the others; anything else names the token to copy.
    initial: Annotated[str, Field(min_length=1)] = "mean"


class ResidualDropout(Section):
    """Rate on each residual branch, linear in the layer's height."""

    bottom: Share = 0.0
    top: Share = 0.3
    branches: tuple[Literal["attention", "mlp"], ...] = ("attention", "mlp")

    @property
    def enabled(self) -> bool:
        return bool(self.branches) and (self.bottom > 0 or self.top > 0)


class Lora(Section):
    """Low-rank adapters on the linear layers, merged into the weights at every checkpoint.

    The EOT row lives in the shared base, so it stays trainable with them.
    """

    rank: PositiveInt = 16
    alpha: Annotated[float, Field(gt=0)] = 32.0
    modules: Annotated[tuple[Literal["attention", "mlp"], ...], Field(min_length=1)] = ("attention", "mlp")


class Recipe(Section):
    """Everything that decides the numbers of a run."""

    epochs: PositiveInt = 15
    # Examples in every optimiser step, whatever the workers and micro-batches.
    batch_size: PositiveInt = 32
    # Tokens; a longer example is cut at its end.
    max_length: Annotated[int, Field(ge=8)] = 2048
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    final_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    # Share of all steps during which the rate climbs from zero.
    warmup: Share = 0.0
    beta1: Share = 0.9
    beta2: Share = 0.95
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    # The paper does not say; common practice spares one-dimensional parameters.
    decay_norms_and_biases: bool = False
    # Not in the paper; null switches it off.
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    residual_dropout: ResidualDropout = ResidualDropout()
    # Open in the paper: on the assistant's turns (with their EOT) or on every token.
    loss_on: Literal["responses", "all"] = "responses"
    # One mean over the step's target tokens, or the mean of each example's mean.
    loss_mean: Literal["tokens", "examples"] = "tokens"
    # What happens to an epoch's last examples when they do not fill a batch.
    last_batch: Literal["keep", "drop"] = "keep"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # bf16 keeps fp32 master weights and moments.
    precision: Literal["fp32", "bf16"] = "fp32"
    end_of_turn: EndOfTurn = EndOfTurn()
    # "auto" begins a text with BOS where the tokenizer does so by itself.
    begin_with_bos: Literal["auto", "always", "never"] = "auto"
    lora: Lora | None = None

    @model_validator(mode="after")
    def _rates_fall(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate ({self.final_learning_rate}) must not exceed learning_rate ({self.learning_rate})"
            )
        return self


class Compute(Section):
    """Where and how the run is computed. May change between a run and its resumption."""

    # "bare" is one process with torch and transformers alone.
    engine: Literal["ray", "bare"] = "ray"
    workers: PositiveInt = 1
    # Fewer workers to start or go on with when the cluster has no more; null means `workers`.
    min_workers: PositiveInt | None = None
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[int, Field(ge=0)] = 0
    # CPU threads of a worker's kernels; 0 divides the machine's cores.
    threads: Annotated[int, Field(ge=0)] = 0
    zero_stage: Literal[0, 1, 2, 3] = 2
    offload_optimizer: bool = False
    offload_parameters: bool = False
    # ZeRO++: ranks that share a secondary copy of the weights, and int8 weights and gradients on the wire.
    hpz_partition_size: PositiveInt = 1
    quantized_weights: bool = False
    quantized_gradients: bool = False
    # Most tokens in one forward pass of one worker, and optionally most examples.
    micro_batch_tokens: PositiveInt = 2048
    micro_batch_examples: PositiveInt | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    # Times that a lost worker or node is replaced before the run fails.
    max_restarts: Annotated[int, Field(ge=0)] = 3

    def stage_for(self, precision: str, workers: int) -> int:
        """The ZeRO stage that is really used: one fp32 worker has nothing to shard, and sharding costs it a copy."""
        alone = workers == 1 and precision == "fp32" and not (self.offload_optimizer or self.offload_parameters)
        return 0 if alone else self.zero_stage

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers ({self.min_workers}) must not exceed workers ({self.workers})")
        if self.engine == "bare" and self.workers != 1:
            raise ValueError(f"engine 'bare' is one process, workers is {self.workers}: use engine 'ray'")
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError("offload_parameters needs zero_stage 3")
        if (self.hpz_partition_size > 1 or self.quantized_weights) and self.zero_stage != 3:
            raise ValueError("hpz_partition_size and quantized_weights need zero_stage 3")
        return self


class Checkpoints(Section):
    """What a run leaves in the store."""

    # Epochs whose weights stay; the newest always does. Null keeps all.
    keep_first: PositiveInt | None = None
    keep_last: PositiveInt | None = None
    # "same" keeps the precision that the model is held in.
    dtype: Literal["same", "float32", "bfloat16"] = "same"
    # Optimiser steps between full states, in addition to the one at each epoch's end; 0 for none.
    state_every_steps: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _window(self) -> Self:
        if self.keep_first and self.keep_last and self.keep_first > self.keep_last:
            raise ValueError(f"keep_first ({self.keep_first}) must not exceed keep_last ({self.keep_last})")
        return self


class Evaluation(Section):
    """Perplexity of held-out responses at every epoch: it rises while quality rises, so it is shown, not followed."""

    # Empty takes dev.jsonl of the dataset; else a JSONL file in the store or a local one.
    dataset: str = ""
    max_examples: Annotated[int, Field(ge=0)] = 2000
    # Dev prompts that each epoch's checkpoint answers, beside training; 0 for none. LIMA has 50 of them.
    answers: Annotated[int, Field(ge=0)] = 0
    # Prompts that the last checkpoint answers at least, to see whether generation stops at EOT; 0 for no such check.
    stop_check: Annotated[int, Field(ge=0)] = 4
    # Longest answer, in tokens. LIMA's are of 2,048 at most.
    max_new_tokens: PositiveInt = 256


class Tracking(Section):
    """Where curves go besides metrics.jsonl and TensorBoard files."""

    mlflow_uri: str = ""
    wandb_project: str = ""


class TrainingSpec(Section):
    """A fine-tuning run. `base_model` and `dataset` are "s3://bucket/prefix" or local folders."""

    run: RunName
    base_model: Annotated[str, Field(min_length=1, max_length=1024)]
    dataset: Annotated[str, Field(min_length=1, max_length=1024)]
    # Folder or "s3://bucket/prefix" that holds `<run>/`; empty means runs/ of the configured object store.
    output: str = ""
    preset: str = "lima-65b"
    recipe: Recipe = Recipe()
    compute: Compute = Compute()
    checkpoints: Checkpoints = Checkpoints()
    evaluation: Evaluation = Evaluation()
    tracking: Tracking = Tracking()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        name = raw.get("preset", "lima-65b")
        if name not in PRESETS:
            raise ValueError(f"preset {name!r} is not one of {', '.join(sorted(PRESETS))}")
        recipe = raw.get("recipe", {})
        if isinstance(recipe, Recipe):
            return raw
        return {**raw, "recipe": _merged(PRESETS[name], recipe)} if isinstance(recipe, dict) else raw

    @model_validator(mode="after")
    def _lora_is_not_sharded(self) -> Self:
        if self.recipe.lora is not None and self.compute.engine == "ray" and self.compute.zero_stage == 3:
            raise ValueError("recipe.lora needs compute.zero_stage 0, 1 or 2: the frozen rows are masked whole")
        return self

    @property
    def identity(self) -> str:
        """sha256 of what decides the result: two specs with one identity are one run."""
        return digest_json(self.model_dump(mode="json", include={"base_model", "dataset", "recipe"}))


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if nested else value
    return result


def parse_spec(raw: object, overrides: tuple[str, ...] = ()) -> TrainingSpec:
    """A spec from decoded YAML or JSON and "recipe.epochs=3" overrides.

    Raises:
        InvalidInputs: every field that is unknown, of a wrong type or out of range.
    """
    if not isinstance(raw, dict):
        raise InvalidInput("spec", type(raw).__name__, "must be a mapping of settings")
    for override in overrides:
        raw = _merged(raw, _override(override))
    try:
        return TrainingSpec.model_validate(raw)
    except ValidationError as error:
        raise InvalidInputs([_violation(detail) for detail in error.errors()]) from None


def load_spec(path: Path, overrides: tuple[str, ...] = ()) -> TrainingSpec:
    """The spec in a YAML or JSON file.

    Raises:
        InvalidInput: the file is missing, too large or not YAML; InvalidInputs: its settings are wrong.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SPEC_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("spec", str(path), f"must be a readable text file ({error})") from None
    return spec_from_text(text, str(path), overrides)


def spec_from_text(text: str, origin: str, overrides: tuple[str, ...] = ()) -> TrainingSpec:
    """The spec written in YAML or JSON (which is YAML too). Raises as `load_spec`, naming `origin`."""
    if len(text) > MAX_SPEC_BYTES:
        raise InvalidInput("spec", origin, f"must be shorter than {MAX_SPEC_BYTES} characters")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput("spec", origin, f"must be YAML or JSON: {error}") from None
    return parse_spec(raw, overrides)


def _override(text: str) -> dict[str, Any]:
    path, separator, value = text.partition("=")
    if not separator or not path:
        raise InvalidInput("--set", text, "must read like recipe.epochs=3")
    try:
        nested: Any = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput("--set", text, f"the value must be YAML: {error}") from None
    for part in reversed(path.split(".")):
        nested = {part: nested}
    assert isinstance(nested, dict)
    return nested


def _violation(detail: Any) -> InvalidInput:
    field = ".".join(str(part) for part in detail["loc"]) or "spec"
    rule = detail["msg"].removeprefix("Value error, ")
    remedy = "remove it, or check its spelling" if detail["type"] == "extra_forbidden" else ""
    return InvalidInput(field, detail["input"], rule, remedy)
