"""The training examples nearest to a text: what a model may have learnt its answer from.

Two ways, both by the cosine of vectors of length 1. Prompts are compared by the embeddings of a sentence model, which
knows what they are about, where its package is installed. Whole answers, too long for that model, and prompts
without it, by their words and pairs of words (TF-IDF: 1 + log(count) times the logarithm of how rare they are among
the training examples, Salton and Buckley 1988), which says why two texts are near and misses a paraphrase.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from pydantic import ValidationError
from scipy import sparse

from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import ObjectStore
from services.shared.records import Example
from services.shared.sentence_model import MiniLm, find_sentence_model

# Beyond this many a data set is no small curated one, and comparing all of it would take minutes.
MAX_EXAMPLES = 100_000
MAX_TEXT = 20_000
_DIMENSIONS = 1 << 20
_WORD = re.compile(r"\w+")
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training example, how near it is from 0 to 1, and how it begins."""

    example: str
    similarity: float
    text: str


class TrainingIndex(Protocol):
    """The examples of a training set, to be searched."""

    @property
    def method(self) -> str:
        """How similarity is measured, in words."""
        ...

    @property
    def threshold(self) -> float:
        """Below this similarity to its nearest training prompt a prompt is proposed as out of distribution."""
        ...

    def nearest(self, texts: Sequence[str], most: int = 3) -> list[list[Neighbour]]:
        """For each text its nearest examples, the nearest first; examples that share nothing are left out."""
        ...


class SentenceIndex:
    """By the meaning of the first 128 tokens.

    Args:
        examples: (id, text) of each; at least one.
    """

    # Of 0.1, 0.15, … 0.7 the one that tells the titles of one Stack Exchange site from another's best.
    threshold = 0.35

    def __init__(self, examples: Sequence[tuple[str, str]], model: MiniLm) -> None:
        self._examples, self._model = examples, model
        self.method = f"cosine similarity of {model.name}"
        self._rows = model.embed([text for _, text in examples])

    def nearest(self, texts: Sequence[str], most: int = 3) -> list[list[Neighbour]]:
        if not texts:
            return []
        similarities = self._model.embed(texts) @ self._rows.T
        found = []
        for row in similarities:
            order = np.argsort(-np.round(row, 6), kind="stable")[:most]
            found.append([_neighbour(self._examples[place], float(row[place])) for place in order if row[place] > 0])
        return found


class WordIndex:
    """By shared words and pairs of words.

    Args:
        examples: (id, text) of each; at least one.
    """

    method = "cosine similarity of TF-IDF vectors of words and pairs of words"
    # Of 0.04, 0.05, … 0.2 the one that tells the questions of one Stack Exchange site from another's best.
    threshold = 0.07

    def __init__(self, examples: Sequence[tuple[str, str]]) -> None:
        self._examples = examples
        counts = _counts([text for _, text in examples])
        documents = np.bincount(counts.indices, minlength=_DIMENSIONS)
        self._rarity = np.log((1 + len(examples)) / (1 + documents)) + 1
        self._vectors = self._weighted(counts)

    def nearest(self, texts: Sequence[str], most: int = 3) -> list[list[Neighbour]]:
        if not texts:
            return []
        similarities = (self._weighted(_counts(texts)) @ self._vectors.T).tocsr()
        found = []
        for row in range(len(texts)):
            begin, end = similarities.indptr[row : row + 2]
            places, values = similarities.indices[begin:end], similarities.data[begin:end]
            # Of equally near ones the first of the data set.
            order = np.lexsort((places, -np.round(values, 9)))[:most]
            found.append([_neighbour(self._examples[places[index]], float(values[index])) for index in order])
        return found

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        weighted = counts.copy()
        weighted.data = (1 + np.log(weighted.data)) * self._rarity[weighted.indices]
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags(1 / np.where(length > 0, length, 1)) @ weighted)


def _neighbour(example: tuple[str, str], similarity: float) -> Neighbour:
    identifier, text = example
    return Neighbour(identifier, min(1.0, similarity), text[:_EXCERPT])


def _counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each word and pair of words occurs, of shape (texts, dimensions)."""
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for text in texts:
        words = [word.lower() for word in _WORD.findall(text[:MAX_TEXT])]
        terms = Counter([*words, *(f"{first} {second}" for first, second in pairwise(words))])
        # Two terms on one number would be one entry of the matrix.
        numbers: Counter[int] = Counter()
        for term, count in terms.items():
            numbers[zlib.crc32(term.encode("utf-8", "surrogatepass")) % _DIMENSIONS] += count
        columns += numbers.keys()
        values += map(float, numbers.values())
        ends.append(len(columns))
    return sparse.csr_matrix((values, columns, ends), shape=(len(texts), _DIMENSIONS))


def read_answers(store: ObjectStore, uri: str) -> TrainingIndex:
    """Prompts with their answers: the `train` split of "s3://bucket/datasets/<name>/<digest>". Raises InvalidInput."""
    return WordIndex(_read(store, uri, prompts_only=False))


def read_prompts(store: ObjectStore, uri: str) -> TrainingIndex:
    """Prompts alone: beside its answer a short prompt would be far from everything. Raises InvalidInput."""
    examples = _read(store, uri, prompts_only=True)
    model = find_sentence_model()
    return WordIndex(examples) if model is None else SentenceIndex(examples, model)


def _read(store: ObjectStore, uri: str, *, prompts_only: bool) -> list[tuple[str, str]]:
    key = f"{store.key(uri).strip('/')}/train.jsonl"
    try:
        examples = list(_examples(store, key, prompts_only))
    except NotFound:
        raise InvalidInput(
            "dataset_uri", uri, "must be a data set with train.jsonl", remedy="see what there is: lima datasets list"
        ) from None
    if not examples:
        raise InvalidInput("dataset_uri", uri, "must hold at least one training example")
    return examples


def _examples(store: ObjectStore, key: str, prompts_only: bool) -> Iterator[tuple[str, str]]:
    with store.open(key) as stream:
        for number, line in enumerate(stream, start=1):
            if number > MAX_EXAMPLES:
                raise InvalidInput("dataset_uri", key, f"must have at most {MAX_EXAMPLES} training examples")
            try:
                example = Example.model_validate(json.loads(line))
            except (ValueError, ValidationError):
                raise InvalidInput("dataset_uri", f"{key} line {number}", "must be a training example") from None
            yield (
                example.id,
                "\n".join(turn.content for turn in (example.prompt() if prompts_only else example.messages)),
            )
