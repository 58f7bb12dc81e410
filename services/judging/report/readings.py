"""Which items a reader is shown side by side, and with what verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.judging.items import Item
from services.judging.verdicts import State, Verdict

# So that the report stays one page that a browser opens at once.
MAX_READINGS = 300
MAX_CHARACTERS = 3_000_000
MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One item with all its verdicts; `why` says what makes it worth reading."""

    item: Item
    verdicts: tuple[Verdict, ...]
    why: str
    interest: float


def choose(items: Iterable[Item], verdicts: Sequence[Verdict]) -> list[Reading]:
    """The items worth reading: disagreements and flips first, then clear verdicts, then the rest."""
    by_item: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_item[verdict.item].append(verdict)
    readings = [reading(item, by_item[item.id]) for item in items if item.id in by_item]
    readings.sort(key=lambda each: (-each.interest, each.item.prompt_id, each.item.sample, each.item.systems))
    kept: list[Reading] = []
    characters = 0
    for each in readings[:MAX_READINGS]:
        characters += sum(min(len(text), MAX_TEXT) for text in each.item.texts())
        if characters > MAX_CHARACTERS:
            break
        kept.append(each)
    return kept


def reading(item: Item, verdicts: Sequence[Verdict]) -> Reading:
    """Say what the verdicts on one item are about."""
    usable = [verdict for verdict in verdicts if verdict.state is State.OK]
    if not usable:
        return Reading(item, tuple(verdicts), "no usable verdict", 2.5)
    if len(item.systems) == 1:
        return _scored(item, tuple(verdicts), usable)
    choices = {verdict.choice for verdict in usable}
    preferences = [verdict.preference for verdict in usable if verdict.preference is not None]
    judges = {verdict.judge for verdict in usable}
    mean = sum(preferences) / len(preferences)
    if len(judges) > 1 and len({_mean(usable, judge) > 0.5 for judge in judges}) > 1:
        return Reading(item, tuple(verdicts), "judges disagree", 3.0)
    if len(choices) > 1 and len({verdict.first_on_a for verdict in usable}) > 1:
        return Reading(item, tuple(verdicts), "the verdict changed with the sides", 2.0)
    if len(choices) > 1:
        return Reading(item, tuple(verdicts), "split verdicts", 1.8)
    if mean == 0.5:
        return Reading(item, tuple(verdicts), "neither was significantly better", 1.0)
    winner = item.systems[0] if mean > 0.5 else item.systems[1]
    return Reading(item, tuple(verdicts), f"{winner} won every verdict", 1.5)


def _mean(verdicts: Iterable[Verdict], judge: str) -> float:
    preferences = [v.preference for v in verdicts if v.judge == judge and v.preference is not None]
    return sum(preferences) / len(preferences) if preferences else 0.5


def _scored(item: Item, verdicts: tuple[Verdict, ...], usable: Sequence[Verdict]) -> Reading:
    labels = list(dict.fromkeys(verdict.label for verdict in usable))
    if len(labels) > 1:
        return Reading(item, verdicts, f"labels differ: {', '.join(labels)}", 3.0)
    extreme = labels[0] in ("fail", "unsafe", "excellent", "1", "6")
    return Reading(item, verdicts, f"all said {labels[0]}", 2.0 if extreme else 1.0)
