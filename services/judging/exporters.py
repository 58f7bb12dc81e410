"""Verdicts in our own formats and in those of peers that have a form for them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.judging.items import Item, conversation
from services.judging.verdicts import Choice, Verdict

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


def to_alpaca_eval(verdicts: Iterable[Verdict], items: Mapping[str, Item]) -> Iterator[bytes]:
    """AlpacaEval's annotations: a JSON array, the second system as the reference; unparsable is null."""
    records = []
    for verdict in verdicts:
        item = items[verdict.item]
        first, second = item.texts()
        records.append(
            {
                "instruction": conversation(item.prompt),
                "output_1": second,
                "generator_1": verdict.systems[1],
                "output_2": first,
                "generator_2": verdict.systems[0],
                "annotator": verdict.judge,
                "preference": None if verdict.preference is None else 1 + verdict.preference,
                "time_per_example": verdict.seconds,
            }
        )
    yield json.dumps(records, indent=1).encode()


def to_mt_bench(verdicts: Iterable[Verdict]) -> Iterator[bytes]:
    """MT-Bench's judgments: both orders of a pair are one record of two games, one order is a vote."""
    games: dict[tuple[Any, ...], list[Verdict]] = {}
    for verdict in verdicts:
        key = (verdict.prompt_id, verdict.sample, verdict.turn, verdict.systems, verdict.judge, verdict.draw)
        games.setdefault(key, []).append(verdict)
    for played in games.values():
        yield json.dumps(_mt_bench_record(played)).encode() + b"\n"


def _mt_bench_record(played: Sequence[Verdict]) -> dict[str, Any]:
    verdict = played[0]
    common = {"question_id": verdict.prompt_id, "judge": [verdict.judge], "turn": verdict.turn + 1}
    if len(verdict.systems) == 1:
        score = verdict.scores[0] if verdict.scores else -1
        return {**common, "model": verdict.systems[0], "score": score, "judgment": verdict.reasoning}
    first, second = verdict.systems
    if len(played) == 1:
        if verdict.first_on_a:
            return {**common, "model_a": first, "model_b": second, "winner": _winner(verdict, "model_a", "model_b")}
        return {**common, "model_a": second, "model_b": first, "winner": _winner(verdict, "model_b", "model_a")}
    record = {**common, "model_1": first, "model_2": second}
    for each in played:
        game = "g1" if each.first_on_a else "g2"
        record[f"{game}_winner"] = _winner(each, "model_1", "model_2")
        record[f"{game}_judgment"] = each.reasoning
    return record


def _winner(verdict: Verdict, first: str, second: str) -> str:
    """The winner by the names that the format has for our first and second system."""
    if verdict.choice is None:
        return "error"
    if verdict.choice is Choice.TIE:
        return "tie"
    return first if verdict.choice is Choice.WIN else second


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
