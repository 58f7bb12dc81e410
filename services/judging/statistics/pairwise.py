"""One pair of systems under one judge: who wins, and how far the judge can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.judging.statistics.estimate import CONFIDENCE, BoolArray, Estimate, FloatArray, IntArray, unknown
from services.judging.statistics.proportion import mcnemar, sign_test, wilson
from services.judging.statistics.resampling import RESAMPLES, bootstrap, cluster_means, mirrored_mean

_SHARE = "share of verdicts, each prompt once; Wilson score interval"


@dataclass(frozen=True, slots=True)
class PairVerdicts:
    """Usable verdicts on one pair, as columns of length n.

    Attributes:
        prompts: codes of prompts; verdicts with the same code are one cluster.
        preference: 1 if the first system is better, 1/2 for neither, 0 for the second; values between
            come from judges that report a probability.
        first_on_a: whether the first system was shown on side A.
        sample: which of several draws; orders are compared within a draw.
        excluded: verdicts that are missing here, by reason.
    """

    prompts: IntArray
    preference: FloatArray
    first_on_a: BoolArray
    sample: IntArray
    excluded: Mapping[str, int] = field(default_factory=dict)

    def swapped(self) -> PairVerdicts:
        """The same verdicts seen from the second system."""
        return PairVerdicts(self.prompts, 1 - self.preference, ~self.first_on_a, self.sample, self.excluded)


@dataclass(frozen=True, slots=True)
class PairSummary:
    """What one judge's verdicts on one pair come to.

    `win`, `tie` and `lose` are shares of verdicts with each prompt counting once. `wins`, `ties` and
    `losses` count prompts by their mean verdict: a prompt whose two orders contradict is a tie.
    """

    win: Estimate
    tie: Estimate
    lose: Estimate
    win_rate: Estimate
    flip_rate: Estimate
    position_bias: Estimate
    wins: int
    ties: int
    losses: int
    verdicts: int
    sign_p: float
    # Whether the side, rather than the answer, decides: McNemar over the two orders.
    position_p: float

    @property
    def supported(self) -> bool:
        """Whether the data set the systems apart: by the interval, too narrow for few prompts, and by the test."""
        return not self.win_rate.contains(0.5) and self.sign_p < 1 - CONFIDENCE


def summarise(verdicts: PairVerdicts, *, resamples: int = RESAMPLES, seed: int = 0) -> PairSummary:
    """All of a pair's numbers; two orders of one prompt are one cluster throughout."""
    preference = verdicts.preference
    columns = np.stack([preference > 0.5, preference == 0.5, preference < 0.5, preference], axis=1).astype(np.float64)
    rows, _ = cluster_means(columns, verdicts.prompts) if len(preference) else (np.empty((0, 4)), None)
    mean = rows[:, 3]
    wins, losses = int((mean > 0.5).sum()), int((mean < 0.5).sum())
    win, tie, lose = (
        wilson(float(rows[:, column].sum()), len(rows), _SHARE).excluding(verdicts.excluded) for column in range(3)
    )
    flips, only_a, only_b = _orders(verdicts)
    return PairSummary(
        win=win,
        tie=tie,
        lose=lose,
        win_rate=_win_rate(mean, resamples, seed).excluding(verdicts.excluded),
        flip_rate=flips,
        position_bias=_position_bias(verdicts, resamples, seed),
        wins=wins,
        ties=len(rows) - wins - losses,
        losses=losses,
        verdicts=len(preference),
        sign_p=sign_test(wins, losses),
        position_p=mcnemar(only_a, only_b),
    )


def _win_rate(mean: FloatArray, resamples: int, seed: int) -> Estimate:
    estimate = mirrored_mean(mean, "(wins + ties / 2) / n", resamples=resamples, seed=seed)
    if estimate.widthless:
        # Wilson still says how little few prompts prove.
        return wilson(float(mean.sum()), len(mean), "(wins + ties / 2) / n; Wilson score interval")
    return estimate


def _orders(verdicts: PairVerdicts) -> tuple[Estimate, int, int]:
    """Flip rate, and the contradictions that favour side A and side B.

    Only draws seen in both orders count. A flip is any change of the verdict; a contradiction is a
    change from one system to the other, which means that the same side won both times.
    """
    method = "share of prompts whose verdict changes with the sides; Wilson score interval"
    if len(verdicts.preference) == 0:
        return unknown(method), 0, 0
    key = verdicts.prompts * (int(verdicts.sample.max()) + 1) + verdicts.sample
    _, unit = np.unique(key, return_inverse=True)
    size = int(unit.max()) + 1
    verdict = np.sign(verdicts.preference - 0.5)
    on_a, on_b = verdicts.first_on_a, ~verdicts.first_on_a
    counts = [np.bincount(unit[side], minlength=size) for side in (on_a, on_b)]
    first, second = (np.sign(np.bincount(unit[side], weights=verdict[side], minlength=size)) for side in (on_a, on_b))
    both = (counts[0] > 0) & (counts[1] > 0)
    prompt_of_unit = np.zeros(size, dtype=np.int64)
    prompt_of_unit[unit] = verdicts.prompts
    changed = (first != second)[both].astype(np.float64)
    if not both.any():
        return unknown(method), 0, 0
    by_prompt, _ = cluster_means(changed[:, None], prompt_of_unit[both])
    only_a = int((both & (first > 0) & (second < 0)).sum())
    only_b = int((both & (first < 0) & (second > 0)).sum())
    return wilson(float(by_prompt.sum()), len(by_prompt), method), only_a, only_b


def _position_bias(verdicts: PairVerdicts, resamples: int, seed: int) -> Estimate:
    """Share for side A among verdicts that chose a side; 1/2 is unbiased when both orders were asked."""
    method = "share of verdicts for side A among those that chose a side"
    if verdicts.first_on_a.all() or not verdicts.first_on_a.any():
        # The first system always stood on the same side, or the file does not say where: its share is no bias.
        return unknown(f"{method}; unknown where the sides did not vary")
    chose = verdicts.preference != 0.5
    chose_a = chose & ((verdicts.preference > 0.5) == verdicts.first_on_a)
    rows, _ = cluster_means(np.stack([chose_a, chose], axis=1).astype(np.float64), verdicts.prompts)
    estimate = bootstrap(rows, lambda means: means[:, 0] / means[:, 1], method, resamples=resamples, seed=seed)
    if estimate.widthless:
        decided = int((rows[:, 1] > 0).sum())
        return wilson(estimate.value * decided, decided, f"{method}; Wilson score interval")
    return estimate
