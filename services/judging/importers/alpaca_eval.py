"""AlpacaEval: `annotations.json` (one preference per prompt) and `model_outputs.json`."""

from __future__ import annotations

from services.judging.importers.source import BadRecord, Entry, Record
from services.judging.rows import prompt_key
from services.judging.verdicts import State, Verdict
from services.shared.records import Response, Turn


def verdicts(record: Record) -> list[Entry]:
    """The evaluated model is the first system, the reference the second.

    `preference` runs from 1 (reference better) to 2 (model better); 1.5, or 0 in older files, is a tie, and
    null is a reply that was not parsed. The order in which the annotator saw them is not in the file.
    """
    preference = record.number("preference")
    if preference is not None and preference != 0 and not 1 <= preference <= 2:
        raise BadRecord(f"preference must be null, 0, or from 1 to 2, got {preference:g}")
    prompt = record.get("instruction", str)
    verdict = Verdict(
        prompt_id=prompt_key(prompt),
        systems=(record.get("generator_2", str), record.get("generator_1", str)),
        judge=record.optional("annotator", str, "alpaca_eval"),
        judge_kind="llm",
        state=State.UNPARSABLE if preference is None else State.OK,
        preference=None if preference is None else 0.5 if preference == 0 else preference - 1,
        first_on_a=False,
        seconds=record.number("time_per_example") or 0.0,
    )
    return [Entry(verdict, prompt)]


def responses(record: Record) -> list[tuple[str, Response]]:
    prompt, generator = record.get("instruction", str), record.get("generator", str)
    response = Response(
        prompt_id=prompt_key(prompt),
        source=record.optional("dataset", str, ""),
        messages=(Turn(role="user", content=prompt),),
        response=record.get("output", str),
        model=generator,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
    )
    return [(generator, response)]
