"""What a model's config.json says about its size. Pure arithmetic; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.shared.errors import InvalidInput


@dataclass(frozen=True)
class Shape:
    """The dimensions that memory depends on."""

    family: str
    layers: int
    width: int
    inner: int
    query_width: int
    key_value_width: int
    head_width: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From a decoded config.json. Raises InvalidInput for a missing or senseless dimension."""
        family = str(config.get("model_type", ""))
        width, heads = _positive(config, "hidden_size"), _positive(config, "num_attention_heads")
        head_width = int(config.get("head_dim") or width // heads)
        groups = int(config.get("num_key_value_heads") or heads)
        return cls(
            family=family,
            layers=_positive(config, "num_hidden_layers"),
            width=width,
            inner=_positive(config, "intermediate_size"),
            query_width=heads * head_width,
            key_value_width=groups * head_width,
            head_width=head_width,
            vocabulary=_positive(config, "vocab_size"),
            # Gemma ties its embeddings unless its config says otherwise.
            tied=bool(config.get("tie_word_embeddings", family.startswith("gemma"))),
        )

    @property
    def parameters(self) -> int:
        """Before EOT's rows are added."""
        embeddings = self.vocabulary * self.width * (1 if self.tied else 2)
        if self.family == "gpt_neox":
            attention = 4 * self.width**2 + 4 * self.width
            feed_forward = 2 * self.width * self.inner + self.inner + self.width
            return embeddings + self.layers * (attention + feed_forward + 4 * self.width) + 2 * self.width
        attention = 2 * self.width * (self.query_width + self.key_value_width)
        norms = (4 if self.family in ("gemma2", "gemma3_text") else 2) * self.width
        if self.family == "qwen2":
            attention += self.query_width + 2 * self.key_value_width
        if self.family in ("qwen3", "gemma3_text"):
            norms += 2 * self.head_width
        return embeddings + self.layers * (attention + 3 * self.width * self.inner + norms) + self.width

    @property
    def end_of_turn_parameters(self) -> int:
        return self.width * (1 if self.tied else 2)


def _positive(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"config.json:{name}", value, "must be a positive whole number")
    return value
