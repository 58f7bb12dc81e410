"""What a reader must know before the numbers: where a conclusion is not supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.judging.results import PairResult, Results
from services.judging.statistics.proportion import smallest_difference

FEW_PROMPTS = 50
HIGH_FLIP_RATE = 0.25
LOST_SHARE = 0.05
GOLD_THRESHOLD = 0.7
LENGTH_SHIFT = 0.05


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def warnings_of(results: Results, empty: Mapping[str, int]) -> list[str]:
    """Sentences, the gravest first."""
    if results.verdicts == 0:
        return ["There is no usable verdict yet: nothing below is a result."]
    found = [sentence for pair in results.pairs for sentence in _about_judge(pair, results.kinds[pair.judge])]
    found += [sentence for pair in results.pairs for sentence in _about_conclusion(pair)]
    if results.prompts < FEW_PROMPTS:
        found.append(
            f"Only {results.prompts} prompts were judged: differences of less than "
            f"{100 * smallest_difference(results.prompts):.0f} points in win rate would usually go unseen."
        )
    for score in results.scores:
        found += _about_losses(score.judge, score.system, score.mean.excluded, results.verdicts)
    for gold in results.gold:
        if gold.accuracy.known and gold.accuracy.value < GOLD_THRESHOLD:
            found.append(
                f"Annotator {gold.annotator} answered {percent(gold.accuracy.value)} of {gold.accuracy.n} gold items "
                f"rightly, below the threshold of {percent(GOLD_THRESHOLD)}."
            )
    found += [f"{system} gave {count} empty answers; they were judged as they are." for system, count in empty.items()]
    return list(dict.fromkeys(found))


def _about_judge(pair: PairResult, kind: str) -> Iterator[str]:
    summary, about = pair.summary, f"on {pair.first} against {pair.second}"
    yield from _about_losses(pair.judge, f"{pair.first} against {pair.second}", summary.win.excluded, summary.verdicts)
    flips, bias = summary.flip_rate, summary.position_bias
    if flips.known and flips.value >= HIGH_FLIP_RATE:
        yield (
            f"{pair.judge} is a weak judge {about}: it changes its verdict on {percent(flips.value)} of {flips.n} "
            f"prompts when the two answers swap sides (consistency {percent(1 - flips.value)})."
        )
    if flips.known and bias.known and not bias.contains(0.5) and summary.position_p < 0.05:
        side = "first" if bias.value > 0.5 else "second"
        yield (
            f"{pair.judge} favours the answer shown {side} {about}: {percent(max(bias.value, 1 - bias.value))} of its "
            f"choices (McNemar p = {summary.position_p:.2g})."
        )
    if not flips.known and summary.verdicts and kind != "human":
        yield f"{pair.judge} saw each comparison in one order only {about}: its consistency is unknown."
    longer, controlled = pair.length.longer_preferred, pair.length.controlled_win_rate
    moved = abs(controlled.value - summary.win_rate.value) >= LENGTH_SHIFT
    if longer.known and longer.low > 0.5 and moved:
        yield (
            f"{pair.judge} chose the longer answer on {percent(longer.value)} of decided prompts {about}; with length "
            f"taken out the win rate is {percent(controlled.value)} "
            f"[{percent(controlled.low)}, {percent(controlled.high)}] instead of {percent(summary.win_rate.value)}."
        )


def _about_conclusion(pair: PairResult) -> Iterator[str]:
    rate = pair.summary.win_rate
    if rate.known and not pair.summary.supported:
        yield (
            f"{pair.judge} shows no difference between {pair.first} and {pair.second} that {rate.n} prompts could "
            f"support: win rate {percent(rate.value)} [{percent(rate.low)}, {percent(rate.high)}], sign test "
            f"p = {pair.summary.sign_p:.2g}."
        )


def _about_losses(judge: str, what: str, excluded: Mapping[str, int], verdicts: int) -> Iterator[str]:
    lost = sum(excluded.values())
    if lost and lost / (lost + verdicts) >= LOST_SHARE:
        listed = ", ".join(f"{count} {state}" for state, count in sorted(excluded.items()))
        yield (
            f"{judge} gave no usable verdict on {what} in {lost} of {lost + verdicts} cases ({listed}); they are left "
            "out, which may favour either side."
        )
