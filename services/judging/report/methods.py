"""The methods paragraph: what was done, in words, from the study's settings."""

from __future__ import annotations

from services.judging.protocols import Protocol
from services.judging.results import Results
from services.judging.statistics.length import MODEL
from services.judging.statistics.resampling import RESAMPLES
from services.judging.study import Judge, StudySpec

_ASKED = {
    Protocol.PAIRWISE: "Judges saw one prompt with two unnamed answers and chose the significantly better, or neither",
    Protocol.DIALOGUE_PAIR: "Judges saw two unnamed conversations with one opening and chose the better, or neither",
    Protocol.LIKERT: "Judges reasoned about each answer and then graded its helpfulness from 1 to 6",
    Protocol.ABSOLUTE: "Judges labelled each answer fail, pass or excellent",
    Protocol.DIALOGUE_TURN: "Judges labelled each turn of each conversation fail, pass or excellent",
    Protocol.SAFETY: "Judges labelled each answer to a sensitive prompt safe or unsafe",
}


def methods(spec: StudySpec, results: Results) -> list[str]:
    """Sentences in reading order."""
    sentences = [
        f"The study {spec.name} compares {len(spec.systems)} systems on {results.prompts} judged prompts "
        f"({results.verdicts} usable verdicts; seed {spec.seed}). {_ASKED[spec.protocol]}."
    ]
    sentences += [_about_judge(spec, judge) for judge in spec.judges]
    if spec.rules.pairwise:
        sentences.append(
            "People saw the sides in a seeded random order. All verdicts on one prompt (both orders, several people) "
            f"are one cluster: intervals of win rates come from {RESAMPLES} bootstrap resamples of prompts, those of "
            "shares are Wilson score intervals over prompts. Wins and losses by prompt are compared with a two-sided "
            "sign test; a prompt whose two orders contradict is a tie."
        )
        sentences.append(f"Length control: {MODEL}.")
    elif spec.protocol is Protocol.LIKERT:
        sentences.append("Grades of one prompt were averaged; means have two-sided 95% t intervals over prompts.")
    else:
        sentences.append("Shares count each prompt once and have 95% Wilson score intervals over prompts.")
    if results.agreements:
        sentences.append(
            "Agreement on an item is 1 if two judges agree, 1/2 if exactly one of them chose neither, and 0 otherwise; "
            "Cohen's kappa, Fleiss' kappa and Krippendorff's alpha have bootstrap intervals over prompts."
            if spec.rules.pairwise
            else "Agreement is the share of equal labels; kappas and alpha have bootstrap intervals over prompts."
        )
    if spec.human.gold:
        sentences.append(f"{len(spec.human.gold)} prompts with known answers were mixed in and are not counted.")
    sentences.append(
        "A reply that could not be read as a verdict was asked for again and otherwise counted as unparsable: never as "
        "a tie, a win or a loss."
    )
    return sentences


def _about_judge(spec: StudySpec, judge: Judge) -> str:
    how = (
        "by the log-probabilities of the verdict's tokens, without any parsing"
        if judge.use_logprobs
        else f"by its reply, of at most {judge.max_tokens} tokens, asked for up to {judge.max_attempts} times"
    )
    orders = " in both orders of the answers" if spec.rules.pairwise and judge.both_orders else ""
    wording = "its own template" if spec.template else "the built-in template"
    return f"{judge.name} ({judge.model}) was asked{orders}, with {wording}, and read {how}."
