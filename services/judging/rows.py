"""Between domain values and rows of the judging database."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.judging.items import Item, conversation
from services.judging.study import StudySpec
from services.judging.verdicts import State, Verdict
from services.shared.digest import digest_bytes
from services.shared.records import Turn


def prompt_key(text: str) -> str:
    """Finds a prompt by its text, whatever the white space around its words."""
    return digest_bytes(" ".join(text.split()).encode("utf-8", errors="surrogatepass"))[:24]


def item_row(study: str, position: int, item: Item, spec: StudySpec) -> dict[str, Any]:
    lengths = [len(text) for text in item.texts()]
    return {
        "id": item.id,
        "study": study,
        "position": position,
        "prompt_id": item.prompt_id,
        "prompt_key": prompt_key(conversation(item.prompt)),
        "sample": item.sample,
        "turn": item.turn,
        "systems": list(item.systems),
        "prompt": _turns(item.prompt),
        "answers": [_turns(answer) for answer in item.answers],
        "source": item.source,
        "tags": list(item.tags),
        "first_on_a": item.first_on_a,
        "length_difference": lengths[0] - lengths[1] if len(lengths) == 2 else 0,
        "gold": spec.human.gold.get(item.prompt_id, ""),
    }


def to_item(row: Mapping[str, Any]) -> Item:
    return Item(
        id=row["id"],
        prompt_id=row["prompt_id"],
        sample=row["sample"],
        turn=row["turn"],
        systems=tuple(row["systems"]),
        prompt=_from_turns(row["prompt"]),
        answers=tuple(_from_turns(answer) for answer in row["answers"]),
        source=row["source"],
        tags=tuple(row["tags"]),
        first_on_a=row["first_on_a"],
    )


def verdict_row(study: str, verdict: Verdict, call: str = "") -> dict[str, Any]:
    return {
        "study": study,
        "item": verdict.item,
        "judge": verdict.judge,
        "kind": verdict.judge_kind,
        "state": verdict.state.value,
        "preference": verdict.preference,
        "scores": list(verdict.scores),
        "label": verdict.label,
        "first_on_a": verdict.first_on_a,
        "draw": verdict.draw,
        "reasoning": verdict.reasoning,
        "seconds": verdict.seconds,
        "created": verdict.created.timestamp() if verdict.created else time.time(),
        "gold_correct": verdict.gold_correct,
        "call": call,
    }


def to_verdict(row: Mapping[str, Any]) -> Verdict:
    """A verdict from a row of verdicts joined with its item."""
    return Verdict(
        prompt_id=row["prompt_id"],
        systems=tuple(row["systems"]),
        judge=row["judge"],
        judge_kind=row["kind"],
        state=State(row["state"]),
        preference=row["preference"],
        scores=tuple(row["scores"]),
        label=row["label"],
        first_on_a=row["first_on_a"],
        sample=row["sample"],
        turn=row["turn"],
        draw=row["draw"],
        reasoning=row["reasoning"],
        seconds=row["seconds"],
        created=datetime.fromtimestamp(row["created"], UTC),
        gold_correct=row["gold_correct"],
        id=str(row["id"]),
        item=row["item"],
    )


def _turns(turns: tuple[Turn, ...]) -> list[list[str]]:
    return [[turn.role, turn.content] for turn in turns]


def _from_turns(turns: list[list[str]]) -> tuple[Turn, ...]:
    return tuple(Turn.model_validate({"role": role, "content": content}) for role, content in turns)
