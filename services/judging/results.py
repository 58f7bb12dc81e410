"""A study's numbers from its verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from services.judging.columns import Columns
from services.judging.group_agreement import AgreementResult, ReliabilityResult, group_agreement
from services.judging.protocols import Rules
from services.judging.statistics.bradley_terry import bradley_terry
from services.judging.statistics.estimate import Estimate
from services.judging.statistics.length import LengthEffect, length_effect
from services.judging.statistics.pairwise import PairSummary, PairVerdicts, summarise
from services.judging.statistics.proportion import wilson
from services.judging.statistics.resampling import RESAMPLES
from services.judging.statistics.scores import mean_score, paired_difference, shares


@dataclass(frozen=True, slots=True)
class PairResult:
    """One judge, or group of people, on one pair.

    `source` is empty for all prompts together, else their source or their side of a confirmed split.
    """

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
    sources = columns.source_names if len(columns.source_names) > 1 else []
    for names_of_parts, codes in ((sources, columns.source), (columns.split_names, columns.split)):
        for code, source in enumerate(names_of_parts):
            for names, group, part in _parts(columns.at(codes == code)):
                if rules.pairwise:
                    pair = _pair(names, group, part, source=source, resamples=resamples, seed=seed)
                    results.pairs_by_source.append(pair)
                else:
                    results.scores_by_source.append(_score(names, group, part, rules, source))
    results.agreements, results.reliabilities = group_agreement(columns, rules, resamples=resamples, seed=seed)
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
    bounds = np.searchsorted(key[order], np.arange(len(columns.system_names) * groups + 1)).tolist()
    ordered = columns.at(order)
    lost = {each[:2] for each in columns.excluded}
    for system, names in enumerate(columns.system_names):
        for group, group_name in enumerate(columns.group_names):
            cell = system * groups + group
            begin, end = bounds[cell : cell + 2]
            if begin < end or (names, group_name) in lost:
                yield names, group_name, ordered.at(slice(begin, end))


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
    """Of each group on the systems that it compared, where these are more than two."""
    found = []
    names = sorted({name for pair in columns.system_names for name in pair})
    codes = np.array([[names.index(name) for name in pair] for pair in columns.system_names]).reshape(-1, 2)
    for group, group_name in enumerate(columns.group_names):
        part = columns.at(columns.group == group)
        compared, games = np.unique(codes[part.systems], return_inverse=True)
        if len(compared) < 3:
            continue
        games = games.reshape(-1, 2)
        strengths = bradley_terry(games[:, 0], games[:, 1], part.preference, part.prompt, len(compared))
        found += [StrengthResult(names[compared[each.system]], group_name, each.log_odds) for each in strengths]
    return found
