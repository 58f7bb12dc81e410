"""Our own JSONL and CSV of verdicts, as `exporters` writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

from services.judging.exporters import FORMULA_STARTS, TEXT_COLUMNS
from services.judging.importers.source import BadRecord, Entry, Record, number, read_text
from services.judging.verdicts import JudgeKind, State, Verdict
from services.shared.errors import InvalidInput

MAX_SYSTEMS = 2
_KINDS: dict[str, JudgeKind] = {"human": "human", "llm": "llm", "imported": "imported"}


def verdicts(record: Record) -> list[Entry]:
    systems = record.get("systems", list)
    if not 1 <= len(systems) <= MAX_SYSTEMS or not all(isinstance(name, str) and name for name in systems):
        raise BadRecord(f"systems must be one or two names, got {systems!r:.100}")
    state = record.optional("state", str, "ok")
    if state not in set(State):
        raise BadRecord(f"state must be one of {', '.join(State)}, got {state[:50]!r}")
    preference = record.number("preference")
    if preference is not None and not 0 <= preference <= 1:
        raise BadRecord(f"preference must be from 0 to 1, got {preference:g}")
    label, scores = record.optional("label", str, ""), _scores(record)
    if state == State.OK and preference is None and not label and not scores:
        raise BadRecord("a verdict in state ok must hold a preference, a label or scores")
    kind = record.optional("judge_kind", str, "imported")
    if kind not in _KINDS:
        raise BadRecord(f"judge_kind must be one of {', '.join(_KINDS)}, got {kind[:50]!r}")
    return [
        Entry(
            Verdict(
                prompt_id=record.identifier("prompt_id"),
                systems=tuple(systems),
                judge=record.get("judge", str)[:100],
                judge_kind=_KINDS[kind],
                state=State(state),
                preference=preference,
                scores=scores,
                label=label[:20],
                first_on_a=record.optional("first_on_a", bool, True),
                sample=_count(record, "sample"),
                turn=_count(record, "turn"),
                draw=_count(record, "draw"),
                reasoning=record.optional("reasoning", str, ""),
                seconds=record.number("seconds") or 0.0,
                created=_time(record.optional("created", str, "")),
            )
        )
    ]


def _scores(record: Record) -> tuple[float, ...]:
    values = [number(value, "scores") for value in record.optional("scores", list, [])]
    if len(values) > MAX_SYSTEMS or None in values:
        raise BadRecord("scores must be at most two numbers")
    return tuple(value for value in values if value is not None)


def _count(record: Record, key: str) -> int:
    value = record.number(key) or 0.0
    if value != int(value) or not 0 <= value <= 1_000_000:
        raise BadRecord(f"{key} must be a whole number from 0 to 1000000, got {value:g}")
    return int(value)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadRecord(f"created must be an ISO 8601 time, got {text[:50]!r}") from None


def csv_records(stream: BinaryIO, field_name: str) -> Iterator[Record]:
    """The rows of our CSV as the records of our JSONL; lists and numbers stand in the cells as JSON."""
    rows = csv.reader(io.StringIO(read_text(stream, field_name), newline=""), strict=True)
    try:
        header = next(rows, [])
        if "prompt_id" not in header:
            rule = "must begin with a row of column names, prompt_id among them"
            raise InvalidInput(field_name, ",".join(header)[:200], rule)
        for number_of_row, row in enumerate(rows, start=2):
            yield Record(dict(zip(header, map(_cell, header, row), strict=False)), f"row {number_of_row}")
    except csv.Error as error:
        raise InvalidInput(field_name, f"line {rows.line_num}", f"must be CSV ({error})") from None


def _cell(column: str, text: str) -> object:
    if column in TEXT_COLUMNS:
        return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text
    if text == "":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
