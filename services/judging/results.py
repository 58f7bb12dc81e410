"""A study's numbers from its verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement

import numpy as np

from services.judging.columns import Columns
from services.judging.protocols import Rules
from services.judging.statistics import agreement
from services.judging.statistics.bradley_terry import bradley_terry
from services.judging.statistics.estimate import Estimate, FloatArray, IntArray
from services.judging.statistics.length import LengthEffect, length_effect
from services.judging.statistics.pairwise import PairSummary, PairVerdicts, summarise
from services.judging.statistics.proportion import wilson
from services.judging.statistics.resampling import RESAMPLES, bootstrap
from services.judging.statistics.scores import mean_score, paired_difference, shares

TIE_CATEGORY = 1


@dataclass(frozen=True, slots=True)
class PairResult:
    """One judge, or group of people, on one pair; `source` is empty for all prompts together."""

    first: str
    second: str
    judge: str
    summary: PairSummary
    length: LengthEffect
    source: str = ""


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """One judge or group on one system."""

    system: str
    judge: str
    mean: Estimate
    shares: dict[str, Estimate]
    source: str = ""


@dataclass(frozen=True, slots=True)
class DifferenceResult:
    """Mean score of the first system less that of the second, prompt by prompt."""

    first: str
    second: str
    judge: str
    difference: Estimate


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


@dataclass(frozen=True, slots=True)
class StrengthResult:
    system: str
    judge: str
    log_odds: Estimate


@dataclass(frozen=True, slots=True)
class GoldResult:
    annotator: str
    accuracy: Estimate


@dataclass(slots=True)
class Results:
    study: str
    prompts: int = 0
    verdicts: int = 0
    pairs: list[PairResult] = field(default_factory=list)
    pairs_by_source: list[PairResult] = field(default_factory=list)
    scores: list[ScoreResult] = field(default_factory=list)
    scores_by_source: list[ScoreResult] = field(default_factory=list)
    differences: list[DifferenceResult] = field(default_factory=list)
    agreements: list[AgreementResult] = field(default_factory=list)
    reliabilities: list[ReliabilityResult] = field(default_factory=list)
    strengths: list[StrengthResult] = field(default_factory=list)
    gold: list[GoldResult] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # "human", "llm" or "imported" for each judge or group that results name.
    kinds: dict[str, str] = field(default_factory=dict)


def compute(
    study: str,
    columns: Columns,
    rules: Rules,
    gold: dict[str, tuple[int, int]] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Results:
    """Everything a study's verdicts say, except the warnings.

    Args:
        columns: verdicts on items that are not gold.
        gold: for each annotator the gold items answered rightly, and all answered.
    """
    results = Results(study, prompts=len(np.unique(columns.prompt)), verdicts=len(columns), kinds=columns.group_kinds)
    if rules.pairwise:
        results.pairs = [_pair(*part, resamples=resamples, seed=seed) for part in _parts(columns)]
        results.strengths = _strengths(columns)
    else:
        results.scores = [_score(*part, rules) for part in _parts(columns)]
        results.differences = list(_differences(columns))
    if len(columns.source_names) > 1:
        for code, source in enumerate(columns.source_names):
            for names, group, part in _parts(columns.at(columns.source == code)):
                if rules.pairwise:
                    pair = _pair(names, group, part, source=source, resamples=resamples, seed=seed)
                    results.pairs_by_source.append(pair)
                else:
                    results.scores_by_source.append(_score(names, group, part, rules, source))
    results.agreements, results.reliabilities = _agreement(columns, rules, resamples, seed)
    for annotator, (right, answered) in sorted((gold or {}).items()):
        results.gold.append(
            GoldResult(annotator, wilson(right, answered, "share of gold items; Wilson score interval"))
        )
    return results


def _parts(columns: Columns) -> Iterator[tuple[tuple[str, ...], str, Columns]]:
    """The verdicts of each group on each pair or system, cut from one sorting of all of them."""
    groups = len(columns.group_names)
    key = columns.systems * groups + columns.group
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(len(columns.system_names) * groups + 1))
    lost = {each[:2] for each in columns.excluded}
    for system, names in enumerate(columns.system_names):
        for group, group_name in enumerate(columns.group_names):
            cell = system * groups + group
            chosen = order[bounds[cell] : bounds[cell + 1]]
            if len(chosen) or (names, group_name) in lost:
                yield names, group_name, columns.at(chosen)


def _excluded(columns: Columns, names: tuple[str, ...], group: str) -> dict[str, int]:
    return {
        state: count for (systems, who, state), count in columns.excluded.items() if (systems, who) == (names, group)
    }


def _pair(
    names: tuple[str, ...], group: str, part: Columns, *, source: str = "", resamples: int, seed: int
) -> PairResult:
    # Orders are compared within one judge's one draw on one item.
    draws = int(part.draw.max(initial=0)) + 1
    unit = (part.place * len(part.judge_names) + part.judge) * draws + part.draw
    excluded = {} if source else _excluded(part, names, group)
    verdicts = PairVerdicts(part.prompt, part.preference, part.first_on_a, unit, excluded)
    length = length_effect(part.preference, part.length_difference, part.prompt)
    first, second = names
    return PairResult(first, second, group, summarise(verdicts, resamples=resamples, seed=seed), length, source)


def _score(names: tuple[str, ...], group: str, part: Columns, rules: Rules, source: str = "") -> ScoreResult:
    excluded = {} if source else _excluded(part, names, group)
    # An imported score off the protocol's scale has no label.
    labelled = part.label >= 0
    by_label = shares(part.label[labelled], part.prompt[labelled], len(rules.choices))
    return ScoreResult(
        names[0],
        group,
        mean_score(part.score, part.prompt).excluding(excluded),
        {label: share.excluding(excluded) for label, share in zip(rules.choices, by_label, strict=True)},
        source,
    )


def _differences(columns: Columns) -> Iterator[DifferenceResult]:
    for group, group_name in enumerate(columns.group_names):
        for first, second in combinations(range(len(columns.system_names)), 2):
            one, other = (
                columns.at((columns.systems == system) & (columns.group == group)) for system in (first, second)
            )
            difference = paired_difference(one.score, one.prompt, other.score, other.prompt)
            if difference.n:
                names = columns.system_names[first][0], columns.system_names[second][0]
                yield DifferenceResult(*names, group_name, difference)


def _strengths(columns: Columns) -> list[StrengthResult]:
    systems = sorted({name for names in columns.system_names for name in names})
    if len(systems) < 3:
        return []
    codes = np.array([[systems.index(name) for name in names] for names in columns.system_names])
    found = []
    for group, group_name in enumerate(columns.group_names):
        part = columns.at(columns.group == group)
        if len(part) == 0:
            continue
        pair = codes[part.systems]
        strengths = bradley_terry(pair[:, 0], pair[:, 1], part.preference, part.prompt, len(systems))
        found += [StrengthResult(systems[each.system], group_name, each.log_odds) for each in strengths]
    return found


def _agreement(
    columns: Columns, rules: Rules, resamples: int, seed: int
) -> tuple[list[AgreementResult], list[ReliabilityResult]]:
    """Agreement between and within groups, over the items that both judged."""
    if len(columns) == 0 or len(columns.judge_names) < 2:
        return [], []
    categories = 3 if rules.pairwise else len(rules.choices)
    ratings, group_of_judge = ratings_table(columns, rules.pairwise)
    counts = {}
    reliabilities = []
    for group, name in enumerate(columns.group_names):
        own = ratings[:, group_of_judge == group]
        if own.shape[1] == 0:
            continue
        counts[name] = np.stack([(own == category).sum(axis=1) for category in range(categories)], axis=1)
        if own.shape[1] > 1:
            shown = own[(own != agreement.MISSING).sum(axis=1) > 1]
            fleiss = agreement.fleiss_kappa(shown, categories, resamples=resamples, seed=seed)
            alpha = agreement.krippendorff_alpha(shown, categories, resamples=resamples, seed=seed)
            reliabilities.append(ReliabilityResult(name, fleiss, alpha))
    found = []
    for first, second in combinations_with_replacement(counts, 2):
        rows = pair_tables(counts[first], counts[second], same=first == second)
        if len(rows):
            points = _tie_discounted(rows, categories, rules.pairwise, resamples, seed)
            kappa = agreement.pooled_kappa(rows, categories, resamples=resamples, seed=seed)
            found.append(AgreementResult(first, second, points, kappa))
    return found, reliabilities


def ratings_table(columns: Columns, pairwise: bool) -> tuple[IntArray, IntArray]:
    """Ratings of shape (items, judges), and each judge's group of shape (judges,).

    A judge's several verdicts on one item become one: the mean preference (contradicting orders are a
    tie) or the first label.
    """
    judges = len(columns.judge_names)
    _, items = np.unique(columns.place, return_inverse=True)
    cell = items * judges + columns.judge
    size = (int(items.max()) + 1) * judges
    table = np.full(size, agreement.MISSING, dtype=np.int64)
    if pairwise:
        total = np.bincount(cell, weights=columns.preference, minlength=size)
        count = np.bincount(cell, minlength=size)
        seen = count > 0
        # 0 = lose, 1 = tie, 2 = win.
        table[seen] = 1 + np.sign(np.round(total[seen] / count[seen] - 0.5, 12)).astype(np.int64)
    else:
        table[cell[::-1]] = columns.label[::-1]
    group_of_judge = np.zeros(judges, dtype=np.int64)
    group_of_judge[columns.judge] = columns.group
    return table.reshape(-1, judges), group_of_judge


def pair_tables(first: IntArray, second: IntArray, *, same: bool) -> FloatArray:
    """For each item the confusion table of all pairs of raters, one from each group, summing to 1.

    Args:
        first, second: how many raters of a group chose each category, of shape (items, k).
        same: whether both are one group, so that nobody is paired with himself.

    Returns:
        Shape (items with at least one pair, k * k).
    """
    tables = (first[:, :, None] * second[:, None, :]).astype(np.float64)
    if same:
        tables -= first[:, :, None] * np.eye(first.shape[1])
    rows = tables.reshape(len(tables), -1)
    total = rows.sum(axis=1)
    return np.asarray(rows[total > 0] / total[total > 0, None])


def _tie_discounted(rows: FloatArray, categories: int, pairwise: bool, resamples: int, seed: int) -> Estimate:
    points = np.eye(categories)
    if pairwise:
        points[TIE_CATEGORY, :] = points[:, TIE_CATEGORY] = 0.5
        points[TIE_CATEGORY, TIE_CATEGORY] = 1.0
    method = "tie-discounted agreement" if pairwise else "agreement"
    values = rows @ points.reshape(-1)
    return bootstrap(values[:, None], lambda means: means[:, 0], method, resamples=resamples, seed=seed)
