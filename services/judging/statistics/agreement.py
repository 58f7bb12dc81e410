"""Agreement between judges on the same prompts, each with a bootstrap interval over prompts.

A table of ratings has shape (items, raters) and holds category codes, -1 where a rater gave none. Every
number is a function of the mean of one row per item, so that rows of one prompt may be added up and resampled
together.
"""

from __future__ import annotations

import numpy as np

from services.judging.statistics.estimate import Estimate, FloatArray, IntArray
from services.judging.statistics.resampling import RESAMPLES, bootstrap

MISSING = -1
FLEISS = "Fleiss' kappa"
KAPPA = "Cohen's kappa"
ALPHA = "Krippendorff's alpha"
TIE_DISCOUNTED = "tie-discounted agreement"


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
    return bootstrap(points[:, None], lambda means: means[:, 0], TIE_DISCOUNTED, resamples=resamples, seed=seed)


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
    return bootstrap(rows, lambda means: kappa_of(means, categories), KAPPA, resamples=resamples, seed=seed)


def kappa_of(means: FloatArray, categories: int) -> FloatArray:
    """Cohen's kappa of confusion tables of shape (m, categories^2), which need not sum to 1."""
    table = means.reshape(-1, categories, categories) / means.sum(axis=1)[:, None, None]
    observed = np.trace(table, axis1=1, axis2=2)
    expected = (table.sum(axis=2) * table.sum(axis=1)).sum(axis=1)
    return np.asarray((observed - expected) / (1 - expected))


def counted(ratings: IntArray, categories: int) -> IntArray:
    """How many raters chose each category, of shape (items, categories)."""
    return np.stack([(ratings == category).sum(axis=1) for category in range(categories)], axis=1).astype(np.int64)


def fleiss_kappa(ratings: IntArray, categories: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Fleiss' kappa (Fleiss 1971) over the items that every rater labelled."""
    complete = ratings[(ratings != MISSING).all(axis=1)]
    rows = fleiss_rows(counted(complete, categories))
    return bootstrap(rows, fleiss_of, FLEISS, resamples=resamples, seed=seed).excluding(
        {"not labelled by every rater": len(ratings) - len(complete)}
    )


def fleiss_rows(counts: IntArray) -> FloatArray:
    """Agreement, shares of the categories, and 1: one row per item, all labelled by as many raters, at least two.

    Args:
        counts: shape (items, categories). The raters of different items need not be the same people.
    """
    raters = counts.sum(axis=1, keepdims=True)
    agreement = (counts * (counts - 1)).sum(axis=1, keepdims=True) / np.maximum(1, raters * (raters - 1))
    return np.concatenate([agreement, counts / np.maximum(1, raters), np.ones((len(counts), 1))], axis=1)


def fleiss_of(means: FloatArray) -> FloatArray:
    """Fleiss' kappa of mean rows of shape (m, categories + 2)."""
    observed = means[:, 0] / means[:, -1]
    expected = ((means[:, 1:-1] / means[:, -1:]) ** 2).sum(axis=1)
    return np.asarray((observed - expected) / (1 - expected))


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
    counts = counted(ratings, categories)
    counts = counts[counts.sum(axis=1) > 1]
    rows = alpha_rows(counts)
    estimate = bootstrap(
        rows,
        lambda means: alpha_of(means * len(rows), categories, level),
        f"{ALPHA} ({level})",
        resamples=resamples,
        seed=seed,
    )
    return estimate.excluding({"labelled by fewer than two": len(ratings) - len(counts)})


def alpha_rows(counts: IntArray) -> FloatArray:
    """Coincidences of categories within each item, of shape (items, categories^2).

    Args:
        counts: shape (items, categories), each item labelled by at least two.
    """
    categories = counts.shape[1]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(categories)
    others = np.maximum(1, counts.sum(axis=1) - 1)
    return np.asarray((pairs / others[:, None, None]).reshape(len(counts), categories * categories))


def alpha_of(totals: FloatArray, categories: int, level: str = "nominal") -> FloatArray:
    """Krippendorff's alpha of added-up coincidences of shape (m, categories^2).

    Totals, not means: the expected disagreement divides by the number of values less one.
    """
    codes = np.arange(categories)
    distance = (codes[:, None] - codes[None, :]) ** 2 if level == "interval" else codes[:, None] != codes[None, :]
    coincidences = totals.reshape(-1, categories, categories)
    marginal = coincidences.sum(axis=2)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = (marginal[:, :, None] * marginal[:, None, :] * distance).sum(axis=(1, 2)) / (marginal.sum(axis=1) - 1)
    return np.asarray(1 - observed / expected)


def majority(ratings: IntArray, categories: int, undecided: int) -> IntArray:
    """The category most raters chose, of shape (items,); `undecided` where no category leads."""
    counts = counted(ratings, categories)
    best = counts.argmax(axis=1)
    leads = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(leads, best, undecided).astype(np.int64)
