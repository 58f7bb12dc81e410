"""Which formats there are, and how a file of each is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from services.judging.importers import alpaca_eval, mt_bench, own, pandalm, vicuna
from services.judging.importers.source import BadRecord, Entry, Imported, Record, read_records
from services.shared.errors import InvalidInput
from services.shared.records import Response

VERDICT_FORMATS = ("lima-jsonl", "lima-csv", "alpaca-eval", "mt-bench", "vicuna", "pandalm")
RESPONSE_FORMATS = ("alpaca-eval", "mt-bench", "vicuna", "pandalm")


def read_verdicts(form: str, stream: BinaryIO, systems: tuple[str, ...] = (), field: str = "source_uri") -> Imported:
    """All verdicts of a file.

    Args:
        systems: names of the two answers, for formats that do not tell them (vicuna).
    """
    readers: dict[str, Callable[[Record], list[Entry]]] = {
        "lima-jsonl": own.verdicts,
        "lima-csv": own.verdicts,
        "alpaca-eval": alpaca_eval.verdicts,
        "mt-bench": mt_bench.verdicts,
        "vicuna": partial(vicuna.verdicts, systems=systems),
        "pandalm": pandalm.verdicts,
    }
    _check(form, VERDICT_FORMATS)
    imported = Imported()
    records = own.csv_records(stream, field) if form == "lima-csv" else read_records(stream, field)
    for record in records:
        try:
            imported.entries += readers[form](record)
        except BadRecord as problem:
            imported.refuse(record.place, str(problem))
    return imported


def read_response_file(
    form: str, stream: BinaryIO, prompts: BinaryIO | None = None, field: str = "source_uri"
) -> tuple[dict[str, list[Response]], list[str]]:
    """The responses of a file by system, and what could not be read.

    Args:
        prompts: the benchmark's `question.jsonl`, for formats whose answers stand without their questions.
    """
    _check(form, RESPONSE_FORMATS)
    asked = dict(_questions(prompts)) if prompts else {}
    readers: dict[str, Callable[[Record], list[tuple[str, Response]]]] = {
        "alpaca-eval": alpaca_eval.responses,
        "mt-bench": partial(mt_bench.responses, prompts=asked),
        "vicuna": partial(vicuna.responses, prompts=asked),
        "pandalm": pandalm.responses,
    }
    found: dict[str, list[Response]] = {}
    problems = Imported()
    for record in read_records(stream, field):
        try:
            for system, response in readers[form](record):
                found.setdefault(system, []).append(response)
        except BadRecord as problem:
            problems.refuse(record.place, str(problem))
    return found, problems.problems


def _questions(stream: BinaryIO) -> Iterator[tuple[str, tuple[str, ...]]]:
    for record in read_records(stream, "prompts_uri"):
        try:
            turns = record.optional("turns", list, []) or [record.get("text", str)]
            yield record.identifier("question_id"), tuple(map(str, turns))
        except BadRecord as problem:
            raise InvalidInput("prompts_uri", record.place, str(problem)) from None


def _check(form: str, known: tuple[str, ...]) -> None:
    if form not in known:
        raise InvalidInput("format", form, f"must be one of {', '.join(known)}")
