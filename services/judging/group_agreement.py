"""How far groups of judges agree: LLM judges, authors, the crowd, each with each other and within."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

import numpy as np

from services.judging.columns import Columns
from services.judging.protocols import Rules
from services.judging.statistics import agreement
from services.judging.statistics.estimate import Estimate, FloatArray, IntArray
from services.judging.statistics.resampling import cluster_sums, interval_of, resampled_means

TIE_CATEGORY = 1


@dataclass(frozen=True, slots=True)
class AgreementResult:
    first: str
    second: str
    tie_discounted: Estimate
    kappa: Estimate


@dataclass(frozen=True, slots=True)
class ReliabilityResult:
    group: str
    fleiss_kappa: Estimate
    krippendorff_alpha: Estimate


def group_agreement(
    columns: Columns, rules: Rules, *, resamples: int, seed: int
) -> tuple[list[AgreementResult], list[ReliabilityResult]]:
    """Agreement between and within groups, over the items that both judged; prompts are drawn whole."""
    if len(columns) == 0 or len(columns.judge_names) < 2:
        return [], []
    categories = 3 if rules.pairwise else len(rules.choices)
    counts, prompts = group_counts(columns, rules.pairwise, categories)
    resampler = Resampler(prompts)
    between, within = [], []
    for first, second in combinations_with_replacement(counts, 2):
        tables, judged = pair_tables(counts[first], counts[second], same=first == second)
        if judged.any():
            between.append((first, second, resampler.add(tables, judged)))
    for name, own in counts.items():
        raters = own.sum(axis=1)
        several = raters > 1
        if several.any():
            # Of items with different numbers of raters, Fleiss' kappa takes the commonest number.
            same = raters == np.bincount(raters[several]).argmax()
            fleiss = resampler.add(agreement.fleiss_rows(own[same]), same)
            alpha = resampler.add(agreement.alpha_rows(own[several]), several)
            excluded = {"labelled by another number of raters": int((several & ~same).sum())}
            within.append((name, fleiss, alpha, excluded))
    resampler.draw(resamples, seed)
    points = _points(categories, rules.pairwise)
    discounted = agreement.TIE_DISCOUNTED if rules.pairwise else "agreement"

    def kappa(means: FloatArray) -> FloatArray:
        return agreement.kappa_of(means, categories)

    def alpha_of(means: FloatArray) -> FloatArray:
        return agreement.alpha_of(means * resampler.prompts, categories)

    return [
        AgreementResult(
            first,
            second,
            resampler.estimate(part, lambda means: means @ points / means.sum(axis=1), discounted),
            resampler.estimate(part, kappa, agreement.KAPPA),
        )
        for first, second, part in between
    ], [
        ReliabilityResult(
            name,
            resampler.estimate(fleiss, agreement.fleiss_of, agreement.FLEISS).excluding(excluded),
            resampler.estimate(alpha, alpha_of, f"{agreement.ALPHA} (nominal)"),
        )
        for name, fleiss, alpha, excluded in within
    ]


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of a resampler that one statistic is a function of, and how many prompts they come from."""

    columns: slice
    prompts: int


@dataclass(slots=True)
class Resampler:
    """Draws prompts once for many statistics: the draws are one product of matrices for all of them.

    `prompt_of` has shape (items,).
    """

    prompt_of: IntArray
    _blocks: list[FloatArray] = field(default_factory=list)
    _width: int = 0
    _means: FloatArray = field(init=False)
    _draws: FloatArray = field(init=False)

    @property
    def prompts(self) -> int:
        return len(self._means)

    def add(self, rows: FloatArray, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Part:
        """Rows of the chosen items; those of one prompt are added up."""
        size = int(self.prompt_of.max()) + 1
        self._blocks.append(cluster_sums(rows, self.prompt_of[chosen], size))
        part = Part(slice(self._width, self._width + rows.shape[1]), len(np.unique(self.prompt_of[chosen])))
        self._width = part.columns.stop
        return part

    def draw(self, resamples: int, seed: int) -> None:
        self._means = np.concatenate(self._blocks, axis=1) if self._blocks else np.empty((0, 0))
        if self._blocks:
            self._draws = resampled_means(self._means, resamples=resamples, seed=seed)

    def estimate(self, part: Part, statistic: Callable[[FloatArray], FloatArray], method: str) -> Estimate:
        mean = self._means[:, part.columns].mean(axis=0, keepdims=True)
        return interval_of(mean, self._draws[:, part.columns], statistic, method, part.prompts)


def group_counts(columns: Columns, pairwise: bool, categories: int) -> tuple[dict[str, IntArray], IntArray]:
    """For each group how many of its judges chose each category, of shape (items, categories); the items' prompts.

    A judge's several verdicts on one item become one: the mean preference (contradicting orders are a
    tie; 0 = lose, 1 = tie, 2 = win) or the label of the first draw.
    """
    judges = len(columns.judge_names)
    places, item = np.unique(columns.place, return_inverse=True)
    key = item * judges + columns.judge
    if pairwise:
        keys, cell = np.unique(key, return_inverse=True)
        mean = np.bincount(cell, weights=columns.preference) / np.bincount(cell)
        category = 1 + np.sign(np.round(mean - 0.5, 12)).astype(np.int64)
    else:
        labelled = columns.label >= 0
        order = np.lexsort((columns.draw[labelled], key[labelled]))
        keys, first = np.unique(key[labelled][order], return_index=True)
        category = columns.label[labelled][order][first]
    group_of_judge = np.zeros(judges, dtype=np.int64)
    group_of_judge[columns.judge] = columns.group
    group = group_of_judge[keys % judges]
    prompt_of = np.zeros(len(places), dtype=np.int64)
    prompt_of[item] = columns.prompt
    counts = {}
    for code, name in enumerate(columns.group_names):
        own = group == code
        if own.any():
            cells = (keys[own] // judges) * categories + category[own]
            counts[name] = np.bincount(cells, minlength=len(places) * categories).reshape(-1, categories)
    return counts, np.unique(prompt_of, return_inverse=True)[1]


def pair_tables(
    first: IntArray, second: IntArray, *, same: bool
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """For each item the confusion table of all pairs of raters, one from each group, summing to 1.

    Args:
        first, second: how many raters of a group chose each category, of shape (items, k).
        same: whether both are one group, so that nobody is paired with himself.

    Returns:
        Shape (items with at least one pair, k * k), and which items these are.
    """
    tables = (first[:, :, None] * second[:, None, :]).astype(np.float64)
    if same:
        tables -= first[:, :, None] * np.eye(first.shape[1])
    rows = tables.reshape(len(tables), -1)
    total = rows.sum(axis=1)
    judged = total > 0
    return np.asarray(rows[judged] / total[judged, None]), judged


def _points(categories: int, pairwise: bool) -> FloatArray:
    """Points for each cell of a confusion table, of shape (categories^2,)."""
    points = np.eye(categories)
    if pairwise:
        points[TIE_CATEGORY, :] = points[:, TIE_CATEGORY] = 0.5
        points[TIE_CATEGORY, TIE_CATEGORY] = 1.0
    return points.reshape(-1)
