"""Verdicts in our own formats and in those of peers that have a form for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from services.judging.verdicts import Verdict

CSV_COLUMNS = (
    "prompt_id", "sample", "turn", "systems", "judge", "judge_kind", "state", "preference", "label", "scores",
    "first_on_a", "draw", "seconds", "created", "gold_correct", "reasoning",
)  # fmt: skip
_SYSTEM_SEPARATOR = "|"


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
