"""Verdicts as columns of numbers, which is what the statistics work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import numpy as np

from services.judging.statistics.estimate import BoolArray, FloatArray, IntArray

T = TypeVar("T", bound=Hashable)


class VerdictRow(NamedTuple):
    """The part of a verdict that statistics need; `group` is the annotator's group or the judge's name."""

    prompt_id: str
    place: Hashable
    systems: tuple[str, ...]
    judge: str
    kind: str
    group: str
    state: str
    preference: float | None
    label: str
    score: float | None
    first_on_a: bool
    draw: int
    source: str
    length_difference: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of shape (n,) of the verdicts in state OK, and counts of the others.

    `preference` and `score` are NaN and `label` is -1 where a verdict has none. `place` is the item:
    prompt, sample, turn and systems together.
    """

    prompt: IntArray
    place: IntArray
    systems: IntArray
    judge: IntArray
    group: IntArray
    preference: FloatArray
    label: IntArray
    score: FloatArray
    first_on_a: BoolArray
    draw: IntArray
    source: IntArray
    length_difference: FloatArray
    system_names: list[tuple[str, ...]]
    judge_names: list[str]
    group_names: list[str]
    source_names: list[str]
    # "human", "llm" or "imported" for each group.
    group_kinds: dict[str, str]
    # (systems, group, state) -> verdicts that are not OK.
    excluded: Counter[tuple[tuple[str, ...], str, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.prompt)

    def at(self, chosen: BoolArray | IntArray) -> Columns:
        """The verdicts that a mask of shape (n,) keeps, or those at the given places."""
        kept = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return replace(self, **kept)


_ARRAYS = (
    "prompt", "place", "systems", "judge", "group", "preference", "label", "score", "first_on_a", "draw", "source",
    "length_difference",
)  # fmt: skip


def to_columns(rows: Sequence[VerdictRow], labels: Sequence[str] = ()) -> Columns:
    """Columns of verdicts; `labels` gives each label its code."""
    usable = [row for row in rows if row.state == "ok"]
    lost = [row for row in rows if row.state != "ok"]
    # Systems and groups without a single usable verdict still have their place in the results.
    columns = list(zip(*usable, strict=True)) or [()] * len(VerdictRow._fields)
    column = dict(zip(VerdictRow._fields, columns, strict=True))
    prompt, _ = coded(column["prompt_id"])
    place, places = coded(column["place"])
    systems, system_names = coded([*column["systems"], *(row.systems for row in lost)])
    judge, judge_names = coded(column["judge"])
    group, group_names = coded([*column["group"], *(row.group for row in lost)])
    source, source_names = coded(column["source"])
    n = len(usable)
    label_codes = {label: code for code, label in enumerate(labels)}
    return Columns(
        prompt=prompt,
        place=(prompt * max(1, len(places)) + place) * max(1, len(system_names)) + systems[:n],
        systems=systems[:n],
        judge=judge,
        group=group[:n],
        # None becomes NaN.
        preference=np.array(column["preference"], dtype=np.float64),
        label=np.array([label_codes.get(label, -1) for label in column["label"]], dtype=np.int64),
        score=np.array(column["score"], dtype=np.float64),
        first_on_a=np.array(column["first_on_a"], dtype=np.bool_),
        draw=np.array(column["draw"], dtype=np.int64),
        source=source,
        length_difference=np.array(column["length_difference"], dtype=np.float64),
        system_names=system_names,
        judge_names=judge_names,
        group_names=group_names,
        source_names=source_names,
        group_kinds={row.group: row.kind for row in lost} | dict(zip(column["group"], column["kind"], strict=True)),
        excluded=Counter((row.systems, row.group, row.state) for row in lost),
    )


def coded(names: Iterable[T]) -> tuple[IntArray, list[T]]:
    """Numbers for names in order of appearance, and the names by number."""
    codes: dict[T, int] = {}
    numbers = [codes.setdefault(name, len(codes)) for name in names]
    return np.array(numbers, dtype=np.int64), list(codes)
