"""Verdicts in our own formats and in those of peers that have a form for them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from services.judging.verdicts import Verdict

CSV_COLUMNS = (
    "prompt_id", "sample", "turn", "systems", "judge", "judge_kind", "state", "preference", "label", "scores",
    "first_on_a", "draw", "seconds", "created", "gold_correct", "reasoning",
)  # fmt: skip
# Columns that hold text as it is; the others hold JSON.
TEXT_COLUMNS = frozenset({"prompt_id", "judge", "judge_kind", "state", "label", "created", "reasoning"})
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


def verdict_values(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values, with the names of our own formats."""
    return {
        "prompt_id": verdict.prompt_id,
        "sample": verdict.sample,
        "turn": verdict.turn,
        "systems": list(verdict.systems),
        "judge": verdict.judge,
        "judge_kind": verdict.judge_kind,
        "state": verdict.state.value,
        "preference": verdict.preference,
        "label": verdict.label,
        "scores": list(verdict.scores),
        "first_on_a": verdict.first_on_a,
        "draw": verdict.draw,
        "seconds": verdict.seconds,
        "created": verdict.created.isoformat() if verdict.created else "",
        "gold_correct": verdict.gold_correct,
        "reasoning": verdict.reasoning,
    }


def to_jsonl(verdicts: Iterable[Verdict]) -> Iterator[bytes]:
    for verdict in verdicts:
        # A lone surrogate from a reply can stand in a JSON escape only.
        yield json.dumps(verdict_values(verdict)).encode() + b"\n"


def to_csv(verdicts: Iterable[Verdict]) -> Iterator[bytes]:
    """The same as rows; lists stand in their cells as JSON."""
    yield _csv_row(CSV_COLUMNS)
    for verdict in verdicts:
        values = verdict_values(verdict)
        yield _csv_row([_cell(column, values[column]) for column in CSV_COLUMNS])


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column not in TEXT_COLUMNS:
        return json.dumps(value)
    # Spreadsheets run a cell that begins like a formula; the mark is taken off again on import.
    return f"'{value}" if str(value).startswith(FORMULA_STARTS) else str(value)


def _csv_row(cells: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", errors="replace")
