"""Strengths of several systems from pairwise verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from services.judging.statistics.estimate import Estimate, FloatArray, IntArray
from services.judging.statistics.resampling import RESAMPLES, percentile_interval, resampled_means

METHOD = "Bradley-Terry log-odds against the mean system, a tie being half a win each"
# Keeps strengths finite when a system never lost; moves no other estimate visibly.
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Strength:
    """One system's log-odds, and its chance against the mean system."""

    system: int
    log_odds: Estimate
    win_chance: Estimate


def bradley_terry(
    first: IntArray,
    second: IntArray,
    preference: FloatArray,
    prompts: IntArray,
    systems: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Strength]:
    """Strengths with intervals from a bootstrap over prompts.

    Args:
        first, second: shape (n,), codes of the compared systems.
        preference: shape (n,), 1 if the first is better, 1/2 for neither, 0 for the second.
        prompts: shape (n,), cluster codes.
    """
    cells = systems * systems
    codes, inverse = np.unique(prompts, return_inverse=True)
    rows = np.zeros((len(codes), cells))
    np.add.at(rows, (inverse, first * systems + second), preference)
    np.add.at(rows, (inverse, second * systems + first), 1 - preference)
    wins = rows.sum(axis=0, keepdims=True).reshape(1, systems, systems)
    value = fit(wins)[0]
    draws = fit(resampled_means(rows, resamples=resamples, seed=seed).reshape(-1, systems, systems) * len(codes))
    method = f"{METHOD}; bootstrap over prompts, {resamples} resamples"
    strengths = []
    for system in range(systems):
        interval = percentile_interval(draws[:, system])
        odds = Estimate(float(value[system]), *interval, len(codes), method)
        low, high = (float(special.expit(end)) for end in interval)
        chance = Estimate(float(special.expit(odds.value)), low, high, len(codes), method)
        strengths.append(Strength(system, odds, chance))
    return strengths


def fit(wins: FloatArray) -> FloatArray:
    """Maximum-likelihood strengths by Newton's method, for many tables at once.

    Args:
        wins: shape (m, s, s); wins[:, i, j] is how often i beat j.

    Returns:
        Log-odds of shape (m, s) that sum to 0 in each row (Bradley and Terry 1952).
    """
    systems = wins.shape[1]
    games = wins + wins.transpose(0, 2, 1)
    strength = np.zeros(wins.shape[:2])
    ridge = _RIDGE * np.eye(systems) + 1.0 / systems
    for _ in range(100):
        expected = special.expit(strength[:, :, None] - strength[:, None, :])
        gradient = wins.sum(axis=2) - (games * expected).sum(axis=2) - _RIDGE * strength
        weight = games * expected * (1 - expected)
        hessian = ridge - weight
        index = np.arange(systems)
        hessian[:, index, index] += weight.sum(axis=2)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        strength = strength + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(strength - strength.mean(axis=1, keepdims=True))
