"""Which Llama-family models the batching engine runs, and the numbers of their configuration that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")
# Kinds of rotary embedding whose frequencies do not change with the length of the text at hand.
FIXED_ROPES = ("default", "linear", "llama3", "yarn")


class UnsupportedModel(ValueError):
    """The folder holds an architecture that this engine does not run."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes read from `config.json`; `context` is the longest text, prompt and output together, in tokens."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    epsilon: float

    @classmethod
    def of(cls, config: PretrainedConfig) -> Shape:
        """Raises UnsupportedModel with the engine that runs it instead."""
        if config.model_type not in SUPPORTED:
            raise UnsupportedModel(
                f"model_type {config.model_type!r} is not one of {', '.join(SUPPORTED)}: load it with engine "
                "'transformers' or 'vllm'"
            )
        if getattr(config, "hidden_act", "silu") != "silu":
            raise UnsupportedModel(
                f"hidden_act {config.hidden_act!r} is not 'silu': load it with engine 'transformers'"
            )
        if _rope(config)["rope_type"] not in FIXED_ROPES:
            raise UnsupportedModel(
                f"rope_type {_rope(config)['rope_type']!r} is not one of {', '.join(FIXED_ROPES)}: load it with engine "
                "'transformers'"
            )
        context = config.max_position_embeddings
        # Within its window sliding attention is plain attention, so the window bounds what we serve exactly.
        if getattr(config, "use_sliding_window", config.model_type == "mistral"):
            context = min(context, getattr(config, "sliding_window", None) or context)
        return cls(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            vocabulary=config.vocab_size,
            context=context,
            epsilon=config.rms_norm_eps,
        )


def rotary_tables(config: PretrainedConfig, shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines [context, head size] of every position.

    Made here and not by transformers' own module: importing one model's code costs a starting replica
    five seconds of processor and 120 MB that nothing else needs.
    """
    rope = _rope(config)
    if rope["rope_type"] == "default":
        steps = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
        frequencies, scaling = 1.0 / rope["rope_theta"] ** steps, 1.0
    else:
        frequencies, scaling = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config)
    angles = torch.arange(shape.context, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * scaling, angles.sin() * scaling


def _rope(config: PretrainedConfig) -> dict[str, Any]:
    found: dict[str, Any] = config.rope_parameters
    return found
