"""Where each supported model family keeps the ends of its residual branches.

A branch's end is the module whose output is added to the residual stream: residual dropout belongs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from services.shared.errors import InvalidInput

Branch = Literal["attention", "mlp"]


@dataclass(frozen=True)
class Family:
    """Paths of modules: `layers` in the model, the rest in one layer."""

    layers: str
    attention_end: str
    mlp_end: str
    attention_linears: tuple[str, ...]
    mlp_linears: tuple[str, ...]

    def branch_ends(self, model: nn.Module, branch: Branch) -> list[nn.Module]:
        """The branch's end of every layer, bottom layer first."""
        path = self.attention_end if branch == "attention" else self.mlp_end
        return [layer.get_submodule(path) for layer in self.layers_of(model)]

    def layers_of(self, model: nn.Module) -> nn.ModuleList:
        """The model's layers, bottom one first."""
        layers = model.get_submodule(self.layers)
        assert isinstance(layers, nn.ModuleList)
        return layers


_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_LLAMA = Family("model.layers", "self_attn.o_proj", "mlp.down_proj", _ATTENTION, _MLP)
# A norm stands between branch and residual stream here.
_GEMMA_2 = Family("model.layers", "post_attention_layernorm", "post_feedforward_layernorm", _ATTENTION, _MLP)
_GPT_NEOX = Family(
    "gpt_neox.layers",
    "attention.dense",
    "mlp.dense_4h_to_h",
    ("attention.query_key_value", "attention.dense"),
    ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA_2,
    "gemma3_text": _GEMMA_2,
    "gpt_neox": _GPT_NEOX,
}


def family_of(model_type: str) -> Family:
    """Raises InvalidInput for a family whose residual branches are not known."""
    if model_type not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise InvalidInput("base_model", model_type, f"its config.json must name a supported model_type: {known}")
    return FAMILIES[model_type]
