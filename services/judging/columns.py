"""Verdicts as columns of numbers, which is what the statistics work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

import numpy as np

from services.judging.statistics.estimate import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """Items that differ in their prompt only: the part of them that statistics need.

    Attributes:
        part: what results are broken down by.
        ids, prompts, length_differences: shape (n,).
    """

    systems: tuple[str, ...]
    part: str
    ids: Sequence[str]
    prompts: Sequence[str]
    length_differences: Sequence[float]


@dataclass(frozen=True, slots=True)
class VerdictGroup:
    """Verdicts in state OK that differ in nothing but the item and the preference.

    Attributes:
        items: ids of shape (n,).
        preferences: shape (n,), None where there is none.
    """

    judge: str
    kind: str
    label: str
    score: float | None
    first_on_a: bool
    draw: int
    items: Sequence[str]
    preferences: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of shape (n,) of the verdicts in state OK, and counts of the others.

    `preference` and `score` are NaN and `label` is -1 where a verdict has none. `place` is the item:
    prompt, sample, turn and systems together. `group` is an annotator's group, or the judge.
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
    split: IntArray
    length_difference: FloatArray
    system_names: list[tuple[str, ...]]
    judge_names: list[str]
    group_names: list[str]
    source_names: list[str]
    # Empty where nobody has split the prompts.
    split_names: list[str]
    # "human", "llm" or "imported" for each group.
    group_kinds: dict[str, str]
    # (systems, group, state) -> verdicts that are not OK.
    excluded: Counter[tuple[tuple[str, ...], str, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.prompt)

    def at(self, chosen: BoolArray | IntArray | slice) -> Columns:
        """The verdicts that a mask of shape (n,) keeps, or those at the given places; a slice copies nothing."""
        kept = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return replace(self, **kept)


_ARRAYS = (
    "prompt", "place", "systems", "judge", "group", "preference", "label", "score", "first_on_a", "draw", "source",
    "split", "length_difference",
)  # fmt: skip


class Codes(dict[Any, int]):
    """Numbers for names, given out in order of appearance."""

    def __missing__(self, name: Any) -> int:
        self[name] = code = len(self)
        return code

    def of(self, names: Iterable[Any], count: int) -> IntArray:
        return np.fromiter(map(self.__getitem__, names), np.int64, count)


def _joined(groups: Sequence[tuple[Any, ...]], kinds: str) -> list[Any]:
    """The columns of all groups, one after the other; `kinds` are numpy's types of the columns where there is none."""
    if not groups:
        return [np.empty(0, dtype=kind) for kind in kinds]
    return [np.concatenate(parts) for parts in zip(*groups, strict=True)]


class ColumnsBuilder:
    """Takes a study's items and verdicts group by group: only numbers are kept of them.

    Args:
        group_of: the group of a judge, by name and kind.
        labels: the protocol's labels, which gives each its code.
        out_of_distribution: the prompts that a person found to be so; None where nobody has looked.
    """

    def __init__(
        self,
        group_of: Callable[[str, str], str],
        labels: Sequence[str] = (),
        out_of_distribution: Collection[str] | None = None,
    ) -> None:
        self._split_names = [] if out_of_distribution is None else ["in distribution", "out of distribution"]
        self._out = frozenset(out_of_distribution or ())
        self._group_of = group_of
        self._labels = {label: code for code, label in enumerate(labels)}
        self._items, self._prompts, self._systems, self._parts = Codes(), Codes(), Codes(), Codes()
        self._judges = Codes()
        self._lost: Counter[tuple[tuple[str, ...], str, str]] = Counter()
        self._item_columns: list[tuple[Any, ...]] = []
        self._verdict_columns: list[tuple[Any, ...]] = []

    def add_items(self, group: ItemGroup) -> None:
        """Items that count; verdicts on others are passed over."""
        count = len(group.ids)
        self._items.of(group.ids, count)
        self._item_columns.append(
            (
                self._prompts.of(group.prompts, count),
                np.full(count, self._systems[group.systems]),
                np.full(count, self._parts[group.part]),
                np.fromiter((prompt in self._out for prompt in group.prompts), np.int64, count),
                np.array(group.length_differences, dtype=np.float64),
            )
        )

    def add_verdicts(self, group: VerdictGroup) -> None:
        """Verdicts on items that were added before."""
        count = len(group.items)
        self._verdict_columns.append(
            (
                np.fromiter(map(self._items.get, group.items, repeat(-1)), np.int32, count),
                # None becomes NaN.
                np.array(group.preferences, dtype=np.float64),
                np.full(count, self._judges[group.judge, group.kind], np.int32),
                np.full(count, self._labels.get(group.label, -1), np.int8),
                np.full(count, np.nan if group.score is None else group.score),
                np.full(count, group.first_on_a),
                np.full(count, group.draw, np.int32),
            )
        )

    def add_excluded(self, systems: tuple[str, ...], judge: str, kind: str, state: str, count: int) -> None:
        """Verdicts on items that count, but in a state other than OK."""
        # A judge that gave no other verdicts is named in the results too.
        self._judges[judge, kind]
        self._lost[systems, self._group_of(judge, kind), state] += count

    def columns(self) -> Columns:
        """Everything that was added."""
        item, *rest = _joined(self._verdict_columns, "idibd?i")
        prompt_of, systems_of, part_of, split_of, length_of = _joined(self._item_columns, "lllld")
        counts = item >= 0
        preference, judge, label, score, first_on_a, draw = (column[counts] for column in rest)
        place, judges = item[counts].astype(np.int64), judge.astype(np.int64)
        named = [(name, kind, self._group_of(name, kind)) for name, kind in self._judges]
        groups = Codes()
        group_of_judge = groups.of((group for _, _, group in named), len(named))
        return Columns(
            prompt=prompt_of[place],
            place=place,
            systems=systems_of[place],
            judge=judges,
            group=group_of_judge[judges],
            preference=preference,
            label=label.astype(np.int64),
            score=score,
            first_on_a=first_on_a,
            draw=draw.astype(np.int64),
            source=part_of[place],
            split=split_of[place],
            length_difference=length_of[place],
            system_names=list(self._systems),
            judge_names=[name for name, _, _ in named],
            group_names=list(groups),
            source_names=list(self._parts),
            split_names=self._split_names,
            group_kinds={group: kind for _, kind, group in reversed(named)},
            excluded=self._lost,
        )
