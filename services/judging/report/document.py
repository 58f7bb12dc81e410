"""The report as plain JSON values: what report.json holds and what the page is drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any

from services.judging.group_agreement import AgreementResult
from services.judging.report import paper
from services.judging.report.methods import methods
from services.judging.report.provenance import Provenance
from services.judging.report.readings import MAX_TEXT, Reading
from services.judging.repository import StoredStudy
from services.judging.results import PairResult, Results
from services.judging.statistics.proportion import prompts_needed
from services.judging.study import StudySpec
from services.judging.verdicts import Verdict

FORMAT = "lima-report/1"


def document(
    study: StoredStudy,
    results: Results,
    readings: Sequence[Reading],
    provenance: Mapping[str, Provenance],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything the report says. NaN becomes null."""
    spec, sided = study.spec, _sided(study.spec, readings)
    value = {
        "format": FORMAT,
        "study": spec.name,
        "digest": study.digest,
        "protocol": spec.protocol.value,
        "question": spec.rules.question,
        "state": study.state,
        "state_message": study.state_message,
        "prompts": results.prompts,
        "items": study.item_count,
        "verdicts": results.verdicts,
        "headline": headline(results),
        "warnings": results.warnings,
        "pairs": [_pair(pair) for pair in results.pairs],
        "pairs_by_source": [_pair(pair) for pair in results.pairs_by_source],
        "scores": [dataclasses.asdict(score) for score in results.scores],
        "scores_by_source": [dataclasses.asdict(score) for score in results.scores_by_source],
        "differences": [dataclasses.asdict(each) for each in results.differences],
        "strengths": [dataclasses.asdict(each) for each in results.strengths],
        "agreements": [_agreement(each, results.kinds) for each in results.agreements],
        "reliabilities": [dataclasses.asdict(each) for each in results.reliabilities],
        "gold": [dataclasses.asdict(each) for each in results.gold],
        "prompts_needed": _prompts_needed(results),
        "methods": [*methods(spec, results), *([study.split] if study.split else [])],
        "usage": dataclasses.asdict(study.usage),
        "systems": {name: dataclasses.asdict(each) for name, each in provenance.items()},
        "spec": spec.model_dump(mode="json"),
        "context": dict(context),
        "nearest_method": "",
        "readings": [_reading(each, sided) for each in readings],
    }
    cleaned = _finite(value)
    assert isinstance(cleaned, dict)
    return cleaned


def headline(results: Results) -> str:
    """The result in one sentence, with its uncertainty; the warnings stand beside it."""
    known = [pair for pair in results.pairs if pair.summary.win_rate.known]
    if known:
        # People before models, then who judged the most prompts.
        pair = max(known, key=lambda each: (results.kinds[each.judge] == "human", each.summary.win_rate.n))
        rate, summary = pair.summary.win_rate, pair.summary
        verdict = "no difference that the data support"
        if summary.supported:
            better, worse = (pair.first, pair.second) if rate.value > 0.5 else (pair.second, pair.first)
            verdict = f"{better} preferred to {worse}"
        return (
            f"{pair.first} against {pair.second}, by {pair.judge}: {100 * summary.win.value:.0f}% wins, "
            f"{100 * summary.tie.value:.0f}% ties, {100 * summary.lose.value:.0f}% losses; win rate "
            f"{100 * rate.value:.0f}% [{100 * rate.low:.0f}%, {100 * rate.high:.0f}%] over {rate.n} prompts: {verdict}."
        )
    scored = [score for score in results.scores if score.mean.known]
    if scored:
        return "; ".join(
            f"{score.system} {score.mean.value:.2f} [{score.mean.low:.2f}, {score.mean.high:.2f}] by {score.judge}, "
            f"n = {score.mean.n}"
            for score in scored[:6]
        )
    return "No usable verdict yet."


def _prompts_needed(results: Results) -> dict[str, int]:
    """Prompts for differences of 5, 10 and 15 points, with the ties that this study found."""
    known = [pair.summary.tie.value for pair in results.pairs if pair.summary.tie.known]
    # More ties would leave no room for the largest of the differences.
    ties = min(known[0], 0.6) if known else 0.0
    return {f"{difference:.2f}": prompts_needed(difference, tie_share=ties) for difference in (0.05, 0.1, 0.15)}


def _pair(pair: PairResult) -> dict[str, Any]:
    return {**dataclasses.asdict(pair), "anchor": f"v-{pair.second}-{pair.judge}"}


def _agreement(each: AgreementResult, kinds_of: Mapping[str, str]) -> dict[str, Any]:
    kinds = sorted("llm" if kinds_of[name] == "llm" else name for name in (each.first, each.second))
    return {**dataclasses.asdict(each), "paper": paper.AGREEMENT.get((kinds[0], kinds[1]))}


def _sided(spec: StudySpec, readings: Sequence[Reading]) -> frozenset[str]:
    """Judges of whom it is known which answer they saw on side A.

    Those whom this service asked, people, and imported ones that are seen with both orders: where an imported file
    does not tell the order, its first system stands on one side throughout.
    """
    known = {judge.name for judge in spec.judges}
    orders: dict[str, set[bool]] = {}
    for reading in readings:
        for verdict in reading.verdicts:
            orders.setdefault(verdict.judge, set()).add(verdict.first_on_a)
            if verdict.judge_kind == "human":
                known.add(verdict.judge)
    return frozenset(known | {judge for judge, seen in orders.items() if len(seen) > 1})


def _reading(reading: Reading, sided: Collection[str]) -> dict[str, Any]:
    item = reading.item
    return {
        "id": item.id,
        "prompt_id": item.prompt_id,
        "sample": item.sample,
        "turn": item.turn,
        "source": item.source,
        "tags": list(item.tags),
        "why": reading.why,
        "prompt": [[turn.role, turn.content[:MAX_TEXT]] for turn in item.prompt],
        "answers": [
            {"system": system, "text": text[:MAX_TEXT], "cut": max(0, len(text) - MAX_TEXT), "nearest": []}
            for system, text in zip(item.systems, item.texts(), strict=True)
        ],
        "verdicts": [_verdict(verdict, verdict.judge in sided) for verdict in reading.verdicts],
    }


def _verdict(verdict: Verdict, sided: bool) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "judge": verdict.judge,
        "kind": verdict.judge_kind,
        "state": verdict.state.value,
        "choice": verdict.choice.value if verdict.choice else verdict.label,
        # None where it is not known.
        "first_on_a": verdict.first_on_a if sided else None,
        "scores": list(verdict.scores),
        "reasoning": verdict.reasoning[:4000],
    }


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as None, which JSON can say."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
