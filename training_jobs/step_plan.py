"""Which examples go into which step, rank and micro-batch: planned ahead for an epoch, seeded, balanced.

A step holds exactly `batch_size` examples whatever the workers; only their division among workers changes with
the number of workers, so a run resumed on another number sees the same examples in the same order.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from services.shared.errors import InvalidInput
from training_jobs.spec import Recipe


@dataclass(frozen=True)
class Limits:
    """What one forward pass of one worker may hold."""

    tokens: int
    examples: int | None = None


def epoch_steps(recipe: Recipe, examples: int, epoch: int) -> list[list[int]]:
    """The examples (as indices) of each step of an epoch (1-based), in order.

    Raises InvalidInput when an epoch would have no step.
    """
    order = numpy.random.default_rng([recipe.seed, epoch]).permutation(examples).tolist()
    steps = [order[start : start + recipe.batch_size] for start in range(0, examples, recipe.batch_size)]
    if recipe.last_batch == "drop" and len(steps[-1]) < recipe.batch_size:
        steps.pop()
    if not steps:
        raise InvalidInput(
            "recipe.batch_size",
            recipe.batch_size,
            f"leaves no step: the dataset has {examples} examples",
            "lower it, or set recipe.last_batch to keep",
        )
    return steps


def steps_per_epoch(recipe: Recipe, examples: int) -> int:
    return len(epoch_steps(recipe, examples, 1))


def divide(indices: Sequence[int], lengths: Sequence[int], ranks: int, limits: Limits) -> list[list[list[int]]]:
    """Micro-batches of each rank: result[rank][micro] lists examples.

    Longest first, always to the lightest: over ranks, then over a rank's micro-batches. Every rank gets the same
    number of micro-batches (sharded engines communicate in each), so some may be empty.
    """
    per_rank = balance(indices, lengths, ranks)
    count = max(_fewest_parts(part, lengths, limits) for part in per_rank)
    return [balance(part, lengths, count) for part in per_rank]


def balance(indices: Sequence[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Greedy longest-processing-time division; ties keep the order given, so it is deterministic."""
    bins: list[list[int]] = [[] for _ in range(parts)]
    heap = [(0, 0, number) for number in range(parts)]
    for index in sorted(indices, key=lambda index: -lengths[index]):
        load, count, number = heapq.heappop(heap)
        bins[number].append(index)
        heapq.heappush(heap, (load + lengths[index], count + 1, number))
    return bins


def _fewest_parts(indices: Sequence[int], lengths: Sequence[int], limits: Limits) -> int:
    parts = max(1, -(-sum(lengths[index] for index in indices) // limits.tokens))
    while not _fits(balance(indices, lengths, parts), lengths, limits):
        parts += 1
    return parts


def _fits(bins: list[list[int]], lengths: Sequence[int], limits: Limits) -> bool:
    # One example alone may pass the limit: it cannot be divided.
    return all(
        len(bin_) <= 1
        or (
            sum(lengths[index] for index in bin_) <= limits.tokens
            and (limits.examples is None or len(bin_) <= limits.examples)
        )
        for bin_ in bins
    )
