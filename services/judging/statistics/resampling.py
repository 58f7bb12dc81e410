"""Cluster bootstrap over prompts.

Prompts are drawn with replacement and whole: all that was said about one prompt (both orders,
all samples, all annotators) is one row. Efron and Tibshirani, An Introduction to the Bootstrap,
chapter 8; percentile intervals, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.judging.statistics.estimate import CONFIDENCE, Estimate, FloatArray, IntArray, unknown

RESAMPLES = 2000
# Elements drawn at once, so that memory stays below about 100 MiB whatever the study's size.
_CHUNK_ELEMENTS = 4_000_000
# One multinomial cell costs about as much as this many gathers.
_CELL_COST = 20


def cluster_means(values: FloatArray, clusters: IntArray) -> tuple[FloatArray, IntArray]:
    """The mean row of each cluster.

    Args:
        values: shape (n, k).
        clusters: shape (n,), codes from 0 on that need be neither sorted nor dense.

    Returns:
        Means of shape (clusters, k), ordered by code, and the number of rows behind each.
    """
    counts = np.bincount(clusters)
    present = counts > 0
    sums = np.stack([np.bincount(clusters, weights=column)[present] for column in values.T], axis=1)
    return sums / counts[present, None], counts[present].astype(np.int64)


def cluster_sums(rows: FloatArray, clusters: IntArray, size: int) -> FloatArray:
    """Rows of shape (n, k) added up by cluster, of shape (size, k)."""
    return np.stack([np.bincount(clusters, weights=column, minlength=size) for column in rows.T], axis=1)


def _distinct_rows(rows: FloatArray) -> tuple[FloatArray, IntArray]:
    """Distinct rows in sorted order with their counts; faster than numpy.unique(axis=0)."""
    order = np.lexsort(rows.T) if rows.shape[1] > 1 else np.argsort(rows[:, 0])
    ordered = rows[order]
    begins = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    places = np.flatnonzero(begins)
    return ordered[places], np.diff(np.append(places, len(rows)))


def resampled_means(rows: FloatArray, *, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """Mean row of each bootstrap resample of the rows.

    Rows of verdicts take few distinct values. How often each value occurs in a resample is
    multinomial, so drawing those counts is the same bootstrap without drawing n indices each time.
    Where values are many, how often each row occurs is counted, and the means are one product of
    matrices. The order of the rows does not matter.

    Args:
        rows: shape (n, k), one row per prompt, n at least 1.

    Returns:
        Shape (resamples, k).
    """
    n = len(rows)
    distinct, counts = _distinct_rows(rows)
    generator = np.random.default_rng(seed)
    if len(distinct) * _CELL_COST <= n or len(distinct) == 1:
        draws = generator.multinomial(n, counts / n, size=resamples)
        return np.asarray(draws @ distinct / n, dtype=np.float64)
    ordered = np.repeat(distinct, counts, axis=0)
    means = np.empty((resamples, rows.shape[1]))
    times = np.empty((min(max(1, _CHUNK_ELEMENTS // n), resamples), n))
    for start in range(0, resamples, len(times)):
        size = min(len(times), resamples - start)
        drawn = generator.integers(0, n, size=(size, n), dtype=np.int32)
        for resample in range(size):
            times[resample] = np.bincount(drawn[resample], minlength=n)
        means[start : start + size] = times[:size] @ ordered / n
    return means


def bootstrap(
    rows: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    method: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate a function of the mean row, with its percentile interval.

    Args:
        rows: shape (n, k), one row per prompt.
        statistic: maps mean rows of shape (m, k) to values of shape (m,).
        method: what the value is, in words.
    """
    if len(rows) == 0:
        return unknown(f"{method}; bootstrap over prompts, {resamples} resamples")
    draws = resampled_means(rows, resamples=resamples, seed=seed)
    return interval_of(rows.mean(axis=0, keepdims=True), draws, statistic, method, len(rows))


def interval_of(
    mean: FloatArray, draws: FloatArray, statistic: Callable[[FloatArray], FloatArray], method: str, n: int
) -> Estimate:
    """A function of a mean row of shape (1, k) with its percentile interval from resampled means of shape (m, k)."""
    method = f"{method}; bootstrap over prompts, {len(draws)} resamples"
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(mean)[0])
        if np.isnan(value):
            return unknown(method)
        low, high = percentile_interval(statistic(draws))
    return Estimate(value, low, high, n, method)


def mirrored_mean(values: FloatArray, method: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Bootstrap the mean of values in [0, 1] so that 1 - values gives exactly the mirrored interval.

    Half of the resamples are drawn from the values, half from their mirror image with the same seed.
    """
    method = f"{method}; bootstrap over prompts, {resamples} resamples"
    if len(values) == 0:
        return unknown(method)
    # Equal values must stay equal after 1 - x, or the mirror image would be drawn differently.
    values = np.round(values, 12)
    half = (resamples + 1) // 2
    there = resampled_means(values[:, None], resamples=half, seed=seed)[:, 0]
    back = resampled_means(np.round(1 - values, 12)[:, None], resamples=half, seed=seed)[:, 0]
    low, high = percentile_interval(np.concatenate([there, 1 - back]))
    return Estimate(float(values.mean()), low, high, len(values), method)


def percentile_interval(draws: FloatArray) -> tuple[float, float]:
    """Central interval of resampled values; resamples where the statistic is undefined are left out."""
    finite = draws[~np.isnan(draws)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def mean_difference(first: FloatArray, second: FloatArray, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Paired bootstrap of the mean difference of two systems over the same prompts, each of shape (n,)."""
    return bootstrap(
        (first - second)[:, None],
        lambda means: means[:, 0],
        "mean of paired differences",
        resamples=resamples,
        seed=seed,
    )
