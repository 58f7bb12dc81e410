"""Near-duplicates by MinHash signatures and locality-sensitive hashing.

A text is its set of word 5-grams. Two texts are near-duplicates when the estimated Jaccard similarity of their sets is
at least the threshold. Signatures of 128 hash functions are joined in 32 bands of 4 rows at the default threshold of
0.7, so that a pair of similarity s is compared with probability 1 - (1 - s^4)^32: 0.9998 at 0.7, 0.87 at 0.5.

Memory: 2 bytes for each hash function and text (the lowest 16 bits of each minimum: b-bit minwise hashing, Li and
Koenig 2010), so 256 MB for a million texts; bands are joined one at a time by sorting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

SHINGLE_WORDS = 5
HASH_SEED = 42
BATCH = 2048
_WORD = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    """The word 5-grams of a text, case-folded; a shorter text is one shingle."""
    words = _WORD.findall(text.lower())
    if len(words) <= SHINGLE_WORDS:
        return [" ".join(words)]
    return [" ".join(words[place : place + SHINGLE_WORDS]) for place in range(len(words) - SHINGLE_WORDS + 1)]


def signatures(texts: Iterable[str], permutations: int = 128) -> NDArray[np.uint16]:
    """One row of `permutations` 16-bit minima for each text."""
    parts: list[NDArray[np.uint16]] = []
    batch: list[list[str]] = []
    for text in texts:
        batch.append(shingles(text))
        if len(batch) == BATCH:
            parts.append(_hash(batch, permutations))
            batch.clear()
    if batch:
        parts.append(_hash(batch, permutations))
    return _joined(parts, permutations)


def _joined(parts: list[NDArray[np.uint16]], permutations: int) -> NDArray[np.uint16]:
    """All rows in one matrix. Parts are given up one by one, so that they are never held twice."""
    matrix = np.empty((sum(map(len, parts)), permutations), np.uint16)
    place = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        matrix[place : place + len(part)] = part
        place += len(part)
    return matrix


def _hash(batch: list[list[str]], permutations: int) -> NDArray[np.uint16]:
    digests = RMinHash.digests_from_token_sets(batch, num_perm=permutations, seed=HASH_SEED)
    return np.asarray(digests, np.uint32).astype(np.uint16)


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows) with the steepest part of the curve, (1/bands)^(1/rows), at or just below the threshold."""
    options = [(permutations // rows, rows) for rows in range(1, permutations + 1) if permutations % rows == 0]
    reaching = [(bands, rows) for bands, rows in options if (1.0 / bands) ** (1.0 / rows) <= threshold]
    return max(reaching, key=lambda option: option[1]) if reaching else (permutations, 1)


def similarity(one: NDArray[np.uint16], others: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of a signature to each row of others."""
    return np.asarray((others == one).mean(axis=1), np.float64)


def similar_pairs(matrix: NDArray[np.uint16], threshold: float) -> Iterator[tuple[int, int]]:
    """(earlier row, later row) for pairs that share a band and whose estimated similarity reaches the threshold.

    Inside a bucket every row is compared with the earliest, and what is not like it with the next earliest, and so on:
    each near-duplicate is paired with some row before it without comparing all pairs of a large bucket.
    """
    count, permutations = matrix.shape
    bands, rows = bands_for(threshold, permutations)
    seen: set[tuple[int, int]] = set()
    for band in range(bands):
        keys = _band_keys(matrix[:, band * rows : (band + 1) * rows])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True]) if count else np.empty(0, np.int64)
        sizes = np.diff(edges)
        for place in np.flatnonzero(sizes > 1):
            for pair in _bucket_pairs(matrix, order[edges[place] : edges[place + 1]], threshold):
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _band_keys(rows: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """A 64-bit polynomial hash of each row of a band."""
    keys = np.full(len(rows), 0xCBF29CE484222325, np.uint64)
    for column in range(rows.shape[1]):
        keys = (keys ^ rows[:, column].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _bucket_pairs(
    matrix: NDArray[np.uint16], members: NDArray[np.int64], threshold: float
) -> Iterator[tuple[int, int]]:
    """`members` are in ascending order, as a stable sort leaves them."""
    while len(members) > 1:
        first, rest = members[0], members[1:]
        alike = similarity(matrix[first], matrix[rest]) >= threshold
        for other in rest[alike]:
            yield int(first), int(other)
        members = rest[~alike]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """`row` is a near-duplicate of `of`, which stays."""

    row: int
    of: int


def duplicates(matrix: NDArray[np.uint16], threshold: float) -> list[Duplicate]:
    """Which rows to remove when rows are in order of preference: those like a row before them that stays."""
    earlier: dict[int, list[int]] = {}
    for first, second in similar_pairs(matrix, threshold):
        earlier.setdefault(second, []).append(first)
    removed: dict[int, int] = {}
    for row in sorted(earlier):
        kept = [other for other in sorted(earlier[row]) if other not in removed]
        if kept:
            removed[row] = kept[0]
    return [Duplicate(row, of) for row, of in removed.items()]


def neighbours(matrix: NDArray[np.uint16], threshold: float, names: Sequence[str]) -> dict[str, list[str]]:
    """For each name the names of its near-duplicates."""
    near: dict[str, list[str]] = {}
    for first, second in similar_pairs(matrix, threshold):
        near.setdefault(names[first], []).append(names[second])
        near.setdefault(names[second], []).append(names[first])
    return near
