"""A study's figures: the paper's Figures 1, 2, 3, 5, 6, 7 and 9 drawn from the study's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.judging.protocols import Protocol
from services.judging.report import paper, svg
from services.judging.report.provenance import Provenance
from services.judging.results import PairResult, Results, ScoreResult
from services.judging.statistics.estimate import Estimate
from services.judging.statistics.scores import spearman
from services.judging.study import StudySpec


@dataclass(frozen=True, slots=True)
class Figure:
    """`name` is the file's name without its ending; `paper` is what of the paper it corresponds to."""

    name: str
    title: str
    caption: str
    paper: str
    svg: str


def figures_of(spec: StudySpec, results: Results, provenance: Mapping[str, Provenance]) -> list[Figure]:
    """All figures that the study's protocol and data allow, in the order of the paper."""
    if spec.rules.pairwise:
        return _preference(spec, results) + _win_rates(results)
    figures = []
    if spec.protocol is Protocol.LIKERT:
        figures = _likert(results, provenance)
    elif results.scores:
        figures = [_shares(spec, results)]
    return figures + _epochs(spec, results, provenance)


# Characters that a row's label has room for.
_LABEL = 30


def _interval(estimate: Estimate) -> str:
    return f"[{100 * estimate.low:.0f}%, {100 * estimate.high:.0f}%]"


def _preference(spec: StudySpec, results: Results) -> list[Figure]:
    """Figure 1 for people, Figure 2 for LLM judges: wins, ties and losses against each baseline."""
    found = []
    for number, what, pairs in (
        ("Figure 1", "people", [pair for pair in results.pairs if results.kinds[pair.judge] == "human"]),
        ("Figure 2", "LLM judges", [pair for pair in results.pairs if results.kinds[pair.judge] != "human"]),
    ):
        pairs = [pair for pair in pairs if pair.summary.win.known]
        if not pairs:
            continue
        title = f"{spec.systems[0].name} against other systems, judged by {what}"
        bars = [_pair_bar(pair) for pair in pairs]
        bars += [svg.Bar(f"paper: {row.baseline}", (row.win, row.tie, row.lose), reference=True) for row in paper.PAIRS]
        caption = (
            "Share of verdicts, each prompt counting once, with 95% intervals over prompts. The pale rows are the "
            "paper's LIMA 65B against its baselines, judged by people: another model, other prompts."
            + ("" if what == "people" else " It reports that GPT-4 as the judge agrees with them in trend.")
        )
        legend = [f"{spec.systems[0].name[:16]} wins", "neither", "loses"]
        name = "preference-people" if number == "Figure 1" else "preference-llm"
        found.append(Figure(name, title, caption, number, svg.stacked_bars(title, legend, bars)))
    return found


def _pair_bar(pair: PairResult) -> svg.Bar:
    summary = pair.summary
    note = f"by {pair.judge}: win {_interval(summary.win)}, lose {_interval(summary.lose)}, n = {summary.win.n} prompts"
    if summary.flip_rate.known:
        note += f", consistency {100 * (1 - summary.flip_rate.value):.0f}%"
    return svg.Bar(f"against {pair.second}", (summary.win.value, summary.tie.value, summary.lose.value), note)


def _win_rates(results: Results) -> list[Figure]:
    points = []
    for pair in results.pairs:
        rate, controlled = pair.summary.win_rate, pair.length.controlled_win_rate
        if rate.known:
            label = _fitted(f"against {pair.second}", pair.judge)
            points.append(svg.Point(label, rate.value, rate.low, rate.high, f"n = {rate.n}"))
            if controlled.known:
                points.append(svg.Point("same length", controlled.value, controlled.low, controlled.high, "", True))
    if not points:
        return []
    title = "Win rate with 95% intervals over prompts; 0.5 is no difference"
    caption = (
        "(wins + ties / 2) / n from prompts drawn with replacement, and the win rate a logistic model expects for "
        "answers of equal length."
    )
    return [Figure("win-rates", title, caption, "", svg.interval_rows(title, points, 0, 1, mark=0.5))]


def _fitted(what: str, judge: str) -> str:
    """A row's label with its judge; of a long name, the end goes."""
    room = _LABEL - len(judge) - len(", by ")
    return f"{what if len(what) <= room else what[: max(1, room - 1)] + '…'}, by {judge}"


def _shares(spec: StudySpec, results: Results) -> Figure:
    """Figure 3 (labels of answers), Figure 7 (labels of dialogue turns), or the safety table as bars."""
    choices = spec.rules.choices
    bars = [_score_bar(score) for score in results.scores if score.mean.known]
    dialogue = spec.protocol is Protocol.DIALOGUE_TURN
    if spec.protocol is Protocol.SAFETY:
        bars += [_score_bar(score) for score in results.scores_by_source if score.mean.known]
        bars += [svg.Bar(f"paper: {what}", (share, 1 - share), reference=True) for what, share in paper.SAFE.items()]
    else:
        numbers = paper.DIALOGUE if dialogue else paper.ABSOLUTE
        bars += [svg.Bar(f"paper: {what}", shares, reference=True) for what, shares in numbers.items()]
    title = f"Share of {'turns' if dialogue else 'answers'} by label"
    caption = "Each prompt counts once; 95% Wilson intervals over prompts. Pale rows are the paper's numbers."
    number = {Protocol.DIALOGUE_TURN: "Figure 7", Protocol.ABSOLUTE: "Figure 3"}.get(spec.protocol, "")
    # The best label takes the first colour, wherever the protocol lists it.
    order = list(range(len(choices)))[::-1] if spec.protocol is not Protocol.SAFETY else [0, 1]
    shown = [svg.Bar(bar.label, tuple(bar.shares[i] for i in order), bar.note, bar.reference) for bar in bars]
    return Figure("labels", title, caption, number, svg.stacked_bars(title, [choices[i] for i in order], shown))


def _score_bar(score: ScoreResult) -> svg.Bar:
    notes = [f"{label} {_interval(share)}" for label, share in score.shares.items()]
    shares = tuple(share.value for share in score.shares.values())
    who = f"by {score.judge}, {score.source}" if score.source else f"by {score.judge}"
    return svg.Bar(score.system, shares, f"{who}: {', '.join(notes)}, n = {score.mean.n}")


def _likert(results: Results, provenance: Mapping[str, Provenance]) -> list[Figure]:
    """Figure 5, and Figure 6 where systems differ in the number of training examples."""
    points = [
        svg.Point(
            _fitted(score.system, score.judge), score.mean.value, score.mean.low, score.mean.high, f"n = {score.mean.n}"
        )
        for score in results.scores
        if score.mean.known
    ]
    if not points:
        return []
    points += [
        svg.Point(f"paper: {what}", value, float("nan"), float("nan"), "", True) for what, value in paper.LIKERT.items()
    ]
    title = "Mean helpfulness, 1 to 6, with two-sided 95% t intervals over prompts"
    caption = "Samples of one prompt are averaged first. Grey points are the paper's 7B models, 2,000 examples each."
    figures = [Figure("helpfulness", title, caption, "Figure 5", svg.interval_rows(title, points, 1, 6))]
    sized = [(score, provenance[score.system].training_examples) for score in results.scores if score.mean.known]
    counts = {count for _, count in sized if count}
    if len(counts) > 1:
        title = "Mean helpfulness by the number of training examples"
        caption = "Two-sided 95% t intervals over prompts."
        drawn = svg.lines(title, "training examples", _by_judge(sized))
        figures.append(Figure("quantity", title, caption, "Figure 6", drawn))
    return figures


def _by_judge(sized: Sequence[tuple[ScoreResult, int]]) -> list[svg.Series]:
    """One series per judge, of the systems whose size is known."""
    judges = list(dict.fromkeys(score.judge for score, _ in sized))
    return [
        svg.Series(
            judge,
            tuple(
                sorted(
                    (float(count), score.mean.value, score.mean.low, score.mean.high)
                    for score, count in sized
                    if count and score.judge == judge
                )
            ),
        )
        for judge in judges
    ]


def _epochs(spec: StudySpec, results: Results, provenance: Mapping[str, Provenance]) -> list[Figure]:
    """Figure 9: held-out perplexity and judged quality over the epochs of one run."""
    placed = [(score, provenance[score.system].epoch) for score in results.scores if score.mean.known]
    perplexity = {where.epoch: where.perplexity for where in provenance.values() if where.epoch and where.perplexity}
    if len({epoch for _, epoch in placed if epoch}) < 2 or len(perplexity) < 2:
        return []
    nan = float("nan")
    judged = [replace(series, name=f"quality by {series.name}") for series in _by_judge(placed)]
    held_out = svg.Series(
        "held-out perplexity",
        tuple((float(epoch), value, nan, nan) for epoch, value in sorted(perplexity.items())),
        right_axis=True,
    )
    title = "Quality and held-out perplexity over the epochs"
    caption = "In the paper both rise together, hence checkpoints are picked by judgement. " + " ".join(
        _correlation(series, perplexity) for series in judged
    )
    return [Figure("epochs", title, caption, "Figure 9", svg.lines(title, "epoch", [*judged, held_out]))]


def _correlation(quality: svg.Series, perplexity: Mapping[int, float]) -> str:
    """Spearman's correlation of the two over the epochs that have both."""
    both = [(value, perplexity[int(epoch)]) for epoch, value, _, _ in quality.points if int(epoch) in perplexity]
    first, second = np.array(both).reshape(-1, 2).T
    found = spearman(first, second)
    if not found.known:
        return f"Over {len(both)} epochs, {quality.name} has no rank correlation that could be told."
    return (
        f"Over {found.n} epochs, the rank correlation of {quality.name} with it is {found.value:.2f} "
        f"[{found.low:.2f}, {found.high:.2f}]."
    )
