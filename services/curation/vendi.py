"""Diversity as the effective number of different texts: the Vendi score (Friedman and Dieng, 2023).

Of n texts with unit embeddings X, the score is the exponential of the Shannon entropy of the eigenvalues of X X^T / n:
n if all are orthogonal, 1 if all are the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.shared.sentence_model import find_sentence_model

HASHED_DIMENSIONS = 1024
_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    @property
    def name(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row for each text."""
        ...


def vendi_score(rows: NDArray[np.float32]) -> float:
    """The effective number of different rows, between 1 and their count.

    >>> round(vendi_score(np.eye(4, dtype=np.float32)), 6)
    4.0
    """
    count, width = rows.shape
    # The nonzero eigenvalues of X X^T and X^T X are the same: take the smaller matrix.
    wide = rows.astype(np.float64)
    kernel = wide.T @ wide if width < count else wide @ wide.T
    values = np.clip(np.linalg.eigvalsh(kernel / count), 0, None)
    values = values[values > 1e-12]
    values /= values.sum()
    return float(np.exp(-np.sum(values * np.log(values))))


class HashedWords:
    """Words and word pairs hashed into a vector, damped by a square root. Needs no model; counts words, not meaning."""

    name = "hashed words and word pairs"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), HASHED_DIMENSIONS), np.float32)
        for place, text in enumerate(texts):
            words = _WORD.findall(text.lower())
            for feature in (*words, *itertools.pairwise(words)):
                key = int.from_bytes(blake2b(repr(feature).encode(), digest_size=8).digest(), "big")
                rows[place, key % HASHED_DIMENSIONS] += 1.0 if key >> 63 else -1.0
        rows = np.sign(rows) * np.sqrt(np.abs(rows))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows[norms[:, 0] == 0, 0] = 1.0
        return np.asarray(rows / np.where(norms == 0, 1, norms), np.float32)


def find_embedder() -> Embedder:
    """The sentence model if its package is installed, else hashed words. The metric's name says which."""
    return find_sentence_model() or HashedWords()
