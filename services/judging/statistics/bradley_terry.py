"""Strengths of several systems from pairwise verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from services.judging.statistics.estimate import CONFIDENCE, Estimate, FloatArray, IntArray
from services.judging.statistics.proportion import normal_quantile

METHOD = (
    "Bradley-Terry log-odds against the mean system, a tie being half a win each; prompt-clustered sandwich interval"
)
# Keeps strengths finite when a system never lost; moves no other estimate visibly.
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Strength:
    """One system's log-odds against the mean system."""

    system: int
    log_odds: Estimate


def bradley_terry(
    first: IntArray, second: IntArray, preference: FloatArray, prompts: IntArray, systems: int
) -> list[Strength]:
    """Strengths with intervals that treat all games on one prompt as one observation.

    The covariance is H^-1 (sum of s s') H^-1, with H the information and s the score of one prompt
    (Liang and Zeger 1986).

    Args:
        first, second: shape (n,), codes of the compared systems.
        preference: shape (n,), 1 if the first is better, 1/2 for neither, 0 for the second.
        prompts: shape (n,), cluster codes.
    """
    wins = np.zeros((systems, systems))
    np.add.at(wins, (first, second), preference)
    np.add.at(wins, (second, first), 1 - preference)
    value = fit(wins)
    surprise = preference - special.expit(value[first] - value[second])
    codes, prompt = np.unique(prompts, return_inverse=True)
    scores = np.stack(
        [
            np.bincount(prompt, weights=surprise * (first == system), minlength=len(codes))
            - np.bincount(prompt, weights=surprise * (second == system), minlength=len(codes))
            for system in range(systems)
        ],
        axis=1,
    )
    bread = np.linalg.inv(_information(wins, value))
    # Strengths are measured against their mean.
    centre = np.eye(systems) - 1.0 / systems
    error = np.sqrt(np.diag(centre @ bread @ (scores.T @ scores) @ bread @ centre))
    half = normal_quantile((1 + CONFIDENCE) / 2) * error
    strengths = []
    for system in range(systems):
        middle, width = float(value[system]), float(half[system])
        estimate = Estimate(middle, middle - width, middle + width, len(codes), METHOD)
        strengths.append(Strength(system, estimate))
    return strengths


def fit(wins: FloatArray) -> FloatArray:
    """Maximum-likelihood strengths by Newton's method.

    Args:
        wins: shape (s, s); wins[i, j] is how often i beat j.

    Returns:
        Log-odds of shape (s,) that sum to 0 (Bradley and Terry 1952).
    """
    strength = np.zeros(len(wins))
    games = wins + wins.T
    for _ in range(100):
        expected = special.expit(strength[:, None] - strength[None, :])
        gradient = wins.sum(axis=1) - (games * expected).sum(axis=1) - _RIDGE * strength
        step = np.linalg.solve(_information(wins, strength), gradient)
        strength = strength + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(strength - strength.mean())


def _information(wins: FloatArray, strength: FloatArray) -> FloatArray:
    """Negative Hessian of the log-likelihood, shape (s, s); strengths are fixed to sum to 0."""
    expected = special.expit(strength[:, None] - strength[None, :])
    weight = (wins + wins.T) * expected * (1 - expected)
    systems = len(wins)
    return np.asarray(np.diag(weight.sum(axis=1)) - weight + _RIDGE * np.eye(systems) + 1.0 / systems)
