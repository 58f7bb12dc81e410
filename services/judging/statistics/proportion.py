"""Shares, exact tests of shares, and how many prompts a comparison needs."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from scipy import special

from services.judging.statistics.estimate import CONFIDENCE, Estimate, FloatArray, unknown


def normal_quantile(probability: float) -> float:
    return float(special.ndtri(probability))


def wilson(successes: float, n: int, method: str = "Wilson score interval") -> Estimate:
    """Share with Wilson's score interval (Wilson 1927).

    `successes` may be fractional: a prompt judged differently in its two orders counts in part. The
    interval is then wider than needed, never narrower, because a fraction varies less than a coin.
    """
    if n == 0:
        return unknown(method)
    z = normal_quantile((1 + CONFIDENCE) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Estimate(share, low, high, n, method)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p-value of wins against losses, ties left out (binomial with one half)."""
    n = wins + losses
    return 1.0 if n == 0 else min(1.0, 2 * float(special.bdtr(min(wins, losses), n, 0.5)))


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact two-sided p-value.

    Args:
        only_first: prompts on which the first condition alone succeeded.
        only_second: prompts on which the second condition alone succeeded.
    """
    return sign_test(only_first, only_second)


def mcnemar_chi_square(only_first: int, only_second: int) -> tuple[float, float]:
    """McNemar's statistic with continuity correction (Edwards 1948) and its p-value, for many pairs."""
    n = only_first + only_second
    if n == 0:
        return 0.0, 1.0
    statistic = (abs(only_first - only_second) - 1) ** 2 / n
    return statistic, float(special.chdtrc(1, statistic))


def standard_error(values: FloatArray) -> float:
    """Standard error of the mean of independent values of shape (n,)."""
    return float(np.std(values, ddof=1) / sqrt(len(values))) if len(values) > 1 else float("nan")


def prompts_needed(difference: float, *, tie_share: float = 0.0, power: float = 0.8) -> int:
    """Prompts needed to see a win rate of 1/2 + difference, two-sided at 5%.

    Normal approximation of the mean of 1, 1/2 and 0 with the given share of ties:
    n = ((z_a s_0 + z_b s_1) / difference)^2, where s_0^2 = (1 - ties) / 4 is the variance without a
    difference and s_1^2 = s_0^2 - difference^2 with it.
    """
    if not 0 < abs(difference) <= (1 - tie_share) / 2:
        raise ValueError(f"difference must be in (0, {(1 - tie_share) / 2}], got {difference}.")
    null = (1 - tie_share) / 4
    alternative = max(0.0, null - difference**2)
    tail = normal_quantile((1 + CONFIDENCE) / 2)
    return ceil(((tail * sqrt(null) + normal_quantile(power) * sqrt(alternative)) / difference) ** 2)


def smallest_difference(prompts: int, *, tie_share: float = 0.0, power: float = 0.8) -> float:
    """The smallest |win rate - 1/2| that this many prompts would show; the inverse of `prompts_needed`."""
    if prompts < 1:
        return float("nan")
    null = (1 - tie_share) / 4
    tail, other = normal_quantile((1 + CONFIDENCE) / 2), normal_quantile(power)
    # The variance shrinks with the difference: a few rounds of substitution settle it.
    difference = (tail + other) * sqrt(null / prompts)
    for _ in range(20):
        alternative = max(0.0, null - difference**2)
        difference = (tail * sqrt(null) + other * sqrt(alternative)) / sqrt(prompts)
    return min(difference, (1 - tie_share) / 2)
