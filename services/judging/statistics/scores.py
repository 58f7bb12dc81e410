"""Scores on a scale (Likert), labels (Fail / Pass / Excellent), and ranks."""

from __future__ import annotations

from math import atanh, sqrt, tanh

import numpy as np
from scipy import special

from services.judging.statistics.estimate import CONFIDENCE, Estimate, FloatArray, IntArray, unknown
from services.judging.statistics.proportion import normal_quantile, standard_error, wilson
from services.judging.statistics.resampling import cluster_means


def mean_score(scores: FloatArray, prompts: IntArray) -> Estimate:
    """Mean with a two-sided 95% t interval over prompts; the samples of one prompt are averaged first."""
    method = "mean over prompts; two-sided 95% t interval"
    if len(scores) == 0:
        return unknown(method)
    means, _ = cluster_means(scores[:, None], prompts)
    return t_interval(means[:, 0], method)


def t_interval(values: FloatArray, method: str = "mean; two-sided 95% t interval") -> Estimate:
    """Mean of independent values of shape (n,); with a single value the interval is unknown (NaN)."""
    if len(values) == 0:
        return unknown(method)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean, float("nan"), float("nan"), 1, method)
    half = float(special.stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * standard_error(values)
    return Estimate(mean, mean - half, mean + half, len(values), method)


def paired_difference(
    first: FloatArray, first_prompts: IntArray, second: FloatArray, second_prompts: IntArray
) -> Estimate:
    """Mean difference of prompt means over the prompts that both have, with its t interval."""
    method = "mean of paired differences over prompts; two-sided 95% t interval"
    shared = np.intersect1d(first_prompts, second_prompts)
    if len(shared) == 0:
        return unknown(method)
    means = []
    for scores, prompts in ((first, first_prompts), (second, second_prompts)):
        kept = np.isin(prompts, shared)
        means.append(cluster_means(scores[kept][:, None], prompts[kept])[0][:, 0])
    missing = len(np.union1d(first_prompts, second_prompts)) - len(shared)
    return t_interval(means[0] - means[1], method).excluding({"prompts of one system only": missing})


def shares(labels: IntArray, prompts: IntArray, categories: int) -> list[Estimate]:
    """Share of each label, each prompt counting once, with Wilson intervals over prompts."""
    method = "share of labels, each prompt once; Wilson score interval"
    if len(labels) == 0:
        return [unknown(method)] * categories
    rows, _ = cluster_means(np.eye(categories)[labels], prompts)
    return [wilson(float(column.sum()), len(rows), method) for column in rows.T]


def ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def spearman(first: FloatArray, second: FloatArray) -> Estimate:
    """Spearman's rank correlation of shape (n,) columns, with the interval of Bonett and Wright (2000)."""
    method = "Spearman's rank correlation; Bonett-Wright interval"
    n = len(first)
    if n < 4 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return unknown(method)
    value = float(np.corrcoef(ranks(first), ranks(second))[0, 1])
    if abs(value) >= 1 - 1e-12:
        return Estimate(float(np.sign(value)), float(np.sign(value)), float(np.sign(value)), n, method)
    half = normal_quantile((1 + CONFIDENCE) / 2) * sqrt((1 + value**2 / 2) / (n - 3))
    return Estimate(value, tanh(atanh(value) - half), tanh(atanh(value) + half), n, method)
