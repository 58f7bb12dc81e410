"""Agreement between judges on the same prompts, each with a bootstrap interval over prompts.

A table of ratings has shape (items, raters) and holds category codes, -1 where a rater gave none.
"""

from __future__ import annotations

import numpy as np

from services.judging.statistics.estimate import Estimate, FloatArray, IntArray
from services.judging.statistics.resampling import RESAMPLES, bootstrap

MISSING = -1


def tie_discounted(
    first: IntArray, second: IntArray, tie: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """LIMA's agreement: 1 point for the same answer, 1/2 if exactly one said tie, 0 otherwise; the mean.

    Args:
        first, second: categories of shape (items,); an item that either left out does not count.
        tie: the category of a tie.
    """
    shared = (first != MISSING) & (second != MISSING)
    points = tie_discounted_points(first[shared], second[shared], tie)
    return bootstrap(
        points[:, None], lambda means: means[:, 0], "tie-discounted agreement", resamples=resamples, seed=seed
    )


def tie_discounted_points(first: IntArray, second: IntArray, tie: int) -> FloatArray:
    """Points of each item, of shape (items,)."""
    one_tie = (first == tie) ^ (second == tie)
    return np.where(first == second, 1.0, np.where(one_tie, 0.5, 0.0))


def cohen_kappa(
    first: IntArray, second: IntArray, categories: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Cohen's kappa of two raters (Cohen 1960), categories of shape (items,)."""
    shared = (first != MISSING) & (second != MISSING)
    cells = first[shared] * categories + second[shared]
    rows = np.eye(categories * categories)[cells]
    return pooled_kappa(rows, categories, resamples=resamples, seed=seed)


def pooled_kappa(rows: FloatArray, categories: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Cohen's kappa from one confusion table per item, of shape (items, categories^2), each summing to 1."""

    def kappa(means: FloatArray) -> FloatArray:
        table = means.reshape(-1, categories, categories)
        observed = np.trace(table, axis1=1, axis2=2)
        expected = (table.sum(axis=2) * table.sum(axis=1)).sum(axis=1)
        return np.asarray((observed - expected) / (1 - expected))

    return bootstrap(rows, kappa, "Cohen's kappa", resamples=resamples, seed=seed)


def _counts(ratings: IntArray, categories: int) -> FloatArray:
    """How many raters chose each category, of shape (items, categories)."""
    return np.stack([(ratings == category).sum(axis=1) for category in range(categories)], axis=1).astype(np.float64)


def fleiss_kappa(ratings: IntArray, categories: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Fleiss' kappa (Fleiss 1971) over the items that every rater labelled."""
    complete = ratings[(ratings != MISSING).all(axis=1)]
    raters = ratings.shape[1]
    counts = _counts(complete, categories)
    agreement = (counts * (counts - 1)).sum(axis=1) / max(1, raters * (raters - 1))
    rows = np.concatenate([agreement[:, None], counts / raters], axis=1)

    def kappa(means: FloatArray) -> FloatArray:
        expected = (means[:, 1:] ** 2).sum(axis=1)
        return np.asarray((means[:, 0] - expected) / (1 - expected))

    return bootstrap(rows, kappa, "Fleiss' kappa", resamples=resamples, seed=seed).excluding(
        {"not labelled by every rater": len(ratings) - len(complete)}
    )


def krippendorff_alpha(
    ratings: IntArray,
    categories: int,
    *,
    level: str = "nominal",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha (Krippendorff 2011), with missing ratings.

    Args:
        level: "nominal", or "interval" where the category codes are values at equal steps.
    """
    counts = _counts(ratings, categories)
    raters = counts.sum(axis=1)
    counts, raters = counts[raters > 1], raters[raters > 1]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(categories)
    rows = (pairs / (raters - 1)[:, None, None]).reshape(len(counts), categories * categories)
    codes = np.arange(categories)
    distance = (codes[:, None] - codes[None, :]) ** 2 if level == "interval" else codes[:, None] != codes[None, :]

    def alpha(means: FloatArray) -> FloatArray:
        # Totals, not means: the expected disagreement divides by the number of values less one.
        coincidences = means.reshape(-1, categories, categories) * len(rows)
        marginal = coincidences.sum(axis=2)
        total = marginal.sum(axis=1)
        observed = (coincidences * distance).sum(axis=(1, 2))
        expected = (marginal[:, :, None] * marginal[:, None, :] * distance).sum(axis=(1, 2)) / (total - 1)
        return np.asarray(1 - observed / expected)

    estimate = bootstrap(rows, alpha, f"Krippendorff's alpha ({level})", resamples=resamples, seed=seed)
    return estimate.excluding({"labelled by fewer than two": len(ratings) - len(counts)})


def majority(ratings: IntArray, categories: int, undecided: int) -> IntArray:
    """The category most raters chose, of shape (items,); `undecided` where no category leads."""
    counts = _counts(ratings, categories)
    best = counts.argmax(axis=1)
    leads = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(leads, best, undecided).astype(np.int64)
