"""Verdicts as columns of numbers, which is what the statistics work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from services.judging.statistics.estimate import BoolArray, FloatArray, IntArray


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


class Codes:
    """Numbers for names, in order of appearance."""

    def __init__(self) -> None:
        self._codes: dict[Hashable, int] = {}

    def __call__(self, name: Hashable) -> int:
        return self._codes.setdefault(name, len(self._codes))

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def names(self) -> list[Hashable]:
        return list(self._codes)


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

    def where(self, mask: BoolArray) -> Columns:
        """The verdicts that the mask of shape (n,) keeps."""
        kept = {name: getattr(self, name)[mask] for name in _ARRAYS}
        return replace(self, **kept)


_ARRAYS = (
    "prompt", "place", "systems", "judge", "group", "preference", "label", "score", "first_on_a", "draw", "source",
    "length_difference",
)  # fmt: skip


def to_columns(rows: Iterable[VerdictRow], labels: Sequence[str] = ()) -> Columns:
    """Columns of verdicts; `labels` gives each label its code."""
    codes = {name: Codes() for name in ("prompt", "place", "systems", "judge", "group", "source")}
    label_codes = {label: code for code, label in enumerate(labels)}
    excluded: Counter[tuple[tuple[str, ...], str, str]] = Counter()
    kept: list[tuple[float, ...]] = []
    kinds: dict[str, str] = {}
    nan = float("nan")
    for row in rows:
        group = codes["group"](row.group)
        kinds[row.group] = row.kind
        systems = codes["systems"](row.systems)
        if row.state != "ok":
            excluded[row.systems, row.group, row.state] += 1
            continue
        prompt = codes["prompt"](row.prompt_id)
        kept.append(
            (
                prompt,
                codes["place"]((prompt, row.place, row.systems)),
                systems,
                codes["judge"](row.judge),
                group,
                nan if row.preference is None else row.preference,
                label_codes.get(row.label, -1),
                nan if row.score is None else row.score,
                row.first_on_a,
                row.draw,
                codes["source"](row.source),
                row.length_difference,
            )
        )
    table = np.array(kept, dtype=np.float64).reshape(len(kept), len(_ARRAYS))
    arrays: dict[str, Any] = {
        name: table[:, index].astype(_TYPES.get(name, np.int64)) for index, name in enumerate(_ARRAYS)
    }
    return Columns(
        **arrays,
        system_names=[tuple(name) for name in codes["systems"].names if isinstance(name, tuple)],
        judge_names=list(map(str, codes["judge"].names)),
        group_names=list(map(str, codes["group"].names)),
        source_names=list(map(str, codes["source"].names)),
        group_kinds=kinds,
        excluded=excluded,
    )


_TYPES: dict[str, type] = {
    "preference": np.float64,
    "score": np.float64,
    "length_difference": np.float64,
    "first_on_a": np.bool_,
}
