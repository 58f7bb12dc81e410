"""What is trained: a causal language model called with flattened batches, giving the loss alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from training_jobs import attention
from training_jobs.attention import Documents
from training_jobs.families import family_of
from training_jobs.lora import LoraAdapters
from training_jobs.loss import OutputLoss
from training_jobs.residual_dropout import ResidualDropouts
from training_jobs.spec import Compute, Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end.

    Attributes:
        input_ids, position_ids: [1, tokens] int64; positions restart at every sequence.
        documents: the sequences' bounds.
        target_rows: [targets] int64, the positions whose next token is a target.
        labels: [targets] int64, those next tokens.
        token_weights: [targets] fp32, each target's share of the step's loss.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    documents: Documents
    target_rows: torch.Tensor
    labels: torch.Tensor
    token_weights: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        return Batch(documents=Documents(self.documents.bounds, self.documents.offsets.to(device)), **moved)


_TENSORS = ("input_ids", "position_ids", "target_rows", "labels", "token_weights")


class Trainee(nn.Module):
    """The model, its residual dropouts, and the loss that stands in for its output layer."""

    def __init__(self, model: PreTrainedModel, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        config = model.config
        self.loss = OutputLoss(
            cast(nn.Module, model.get_output_embeddings()), getattr(config, "final_logit_softcapping", None)
        )
        self.lora: LoraAdapters | None = None
        if recipe.lora is not None:
            # Every rank must draw the same adapters.
            torch.manual_seed(recipe.seed)
            self.lora = LoraAdapters(model, family_of(config.model_type), recipe.lora, int(config.eos_token_id))
        self.residual_dropouts: ResidualDropouts | None = None
        if recipe.residual_dropout.enabled:
            self.residual_dropouts = ResidualDropouts(model, family_of(config.model_type), recipe.residual_dropout)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Every parameter once: the model's under the model's own names, adapters under "lora."."""
        return {name.removeprefix("model."): parameter for name, parameter in self.named_parameters()}

    def plain(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Those weights as a checkpoint holds them: of the plain model, adapters merged in."""
        return weights if self.lora is None else self.lora.merge(weights)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scalar: the batch's part of the step's loss."""
        backbone = cast(Any, self.model.base_model)
        output = backbone(
            input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False, documents=batch.documents
        )
        hidden = output.last_hidden_state[0].index_select(0, batch.target_rows)
        loss: torch.Tensor = self.loss(hidden, batch.labels, batch.token_weights)
        return loss


def load_model(folder: Path, recipe: Recipe, compute: Compute) -> PreTrainedModel:
    """The prepared base model on the CPU, in the precision that it is computed in. Safetensors only, no remote code."""
    attention.register()
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=DTYPES[recipe.precision],
        attn_implementation=attention.NAME,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    if compute.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if compute.compile:
        # Layer by layer and in place: all share one compilation, and names stay. Lengths differ from batch to batch,
        # so shapes are symbols.
        for layer in family_of(model.config.model_type).layers_of(model):
            layer.compile(dynamic=True)
    return cast(PreTrainedModel, model)
