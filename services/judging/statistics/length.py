"""Does a judge simply like long answers, and who wins once that is taken out?"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from services.judging.statistics.estimate import CONFIDENCE, ROUNDING, Estimate, FloatArray, IntArray, unknown
from services.judging.statistics.proportion import normal_quantile, wilson
from services.judging.statistics.resampling import cluster_means

MODEL = (
    "logit P(first is better) = a + b tanh(d / s), where d is the difference of the answers' lengths in "
    "characters and s its standard deviation; the length-controlled win rate is P at d = 0"
)
# Keeps the fit finite when length separates wins from losses exactly; no effect on other data.
_RIDGE = 1e-6
# Of tanh(d / s), which spreads by 2 at most. Below it P at d = 0 is guessed from afar, and rounding shows.
_LEAST_SPREAD = 0.1
_UNCONTROLLED = (
    "win rate, as prompts are too few or differences of length too alike to control for it; "
    "prompt-robust (sandwich) interval"
)


@dataclass(frozen=True, slots=True)
class LengthEffect:
    """`longer_preferred` leaves out ties and equal lengths; `slope` is b of `MODEL`.

    Where nothing can be said about the slope, it is unknown, and the method of the win rate says that it is not
    controlled for length.
    """

    longer_preferred: Estimate
    controlled_win_rate: Estimate
    slope: Estimate


def length_effect(preference: FloatArray, length_difference: FloatArray, prompts: IntArray) -> LengthEffect:
    """Length bias of one judge on one pair.

    Args:
        preference: shape (n,), 1 for the first system, 1/2 for neither, 0 for the second.
        length_difference: shape (n,), characters of the first answer less those of the second.
        prompts: shape (n,), cluster codes.
    """
    if len(preference) == 0:
        nothing = unknown(MODEL)
        return LengthEffect(nothing, nothing, nothing)
    rows, _ = cluster_means(np.stack([preference, length_difference], axis=1), prompts)
    mean, difference = rows[:, 0], rows[:, 1]
    decided = (mean != 0.5) & (difference != 0)
    longer = wilson(
        float(((mean > 0.5) == (difference > 0))[decided].sum()),
        int(decided.sum()),
        "share of decided prompts on which the longer answer won; Wilson score interval",
    ).excluding({"tie or equal length": int((~decided).sum())})
    scale = float(difference.std()) or 1.0
    design = np.stack([np.ones_like(mean), np.tanh(difference / scale)], axis=1)
    method = f"{MODEL}; prompt-robust (sandwich) interval"
    # As many coefficients as prompts would leave no residual, and an interval of no width.
    if len(mean) <= design.shape[1] or np.ptp(design[:, 1]) < _LEAST_SPREAD:
        design, method = design[:, :1], _UNCONTROLLED
    coefficients, covariance = fractional_logit(design, mean)
    z = normal_quantile((1 + CONFIDENCE) / 2)

    def interval(index: int) -> tuple[float, float, float]:
        half = z * sqrt(max(0.0, float(covariance[index, index])))
        value = float(coefficients[index])
        return value, value - half, value + half

    value, low, high = (float(special.expit(end)) for end in interval(0))
    controlled = Estimate(value, low, high, len(mean), method)
    if np.ptp(mean) < ROUNDING:
        # Equal verdicts leave no residual; Wilson still says how little few prompts prove.
        controlled = wilson(float(mean.sum()), len(mean), "win rate of equal verdicts; Wilson score interval")
    slope = Estimate(*interval(1), len(mean), method) if design.shape[1] == 2 else unknown(MODEL)
    return LengthEffect(longer, controlled, slope)


def fractional_logit(design: FloatArray, outcome: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logistic regression of outcomes in [0, 1] with a robust covariance (Papke and Wooldridge 1996).

    Args:
        design: shape (n, k).
        outcome: shape (n,).

    Returns:
        Coefficients of shape (k,) and their sandwich covariance of shape (k, k).
    """
    coefficients = np.zeros(design.shape[1])
    for _ in range(100):
        residual, bread = _score(design, outcome, coefficients)
        step = np.linalg.solve(bread, design.T @ residual - _RIDGE * coefficients)
        coefficients = coefficients + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            break
    residual, bread = _score(design, outcome, coefficients)
    scores, inverse = design * residual[:, None], np.linalg.inv(bread)
    return coefficients, np.asarray(inverse @ (scores.T @ scores) @ inverse)


def _score(design: FloatArray, outcome: FloatArray, coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Residuals of shape (n,), and the negative Hessian of shape (k, k).

    Without 1 - P, which rounds a P near 1 otherwise than the P near 0 of the same data seen from the other side.
    """
    linear = design @ coefficients
    better, worse = special.expit(linear), special.expit(-linear)
    hessian = (design * (better * worse)[:, None]).T @ design + _RIDGE * np.eye(len(coefficients))
    return outcome * worse - (1 - outcome) * better, hessian
