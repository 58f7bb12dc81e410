"""What judges say: the verdict, the same for people, models and imported files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

JudgeKind = Literal["human", "llm", "imported"]


class Choice(StrEnum):
    """A pairwise verdict from the first system's view."""

    WIN = "win"
    TIE = "tie"
    LOSE = "lose"


class State(StrEnum):
    """Only OK verdicts enter statistics; the others are counted beside them, by state."""

    OK = "ok"
    # The judge answered, but not with a verdict, as often as it was asked.
    UNPARSABLE = "unparsable"
    # The judge did not answer.
    FAILED = "failed"
    # A person declined to judge this item.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judge's word on one item, mapped back from sides to systems.

    Attributes:
        systems: two for a comparison, one for a score or a label.
        preference: for comparisons: 1 for the first system, 1/2 for neither, 0 for the second; values
            between come from judges that give probabilities.
        scores: one per system where the judge gave scores.
        label: "fail", "excellent", "unsafe" and the like; empty for comparisons.
        sample: which of several answers of the systems to the prompt.
        draw: which of several verdicts that were asked for on the same item and order.
    """

    prompt_id: str
    systems: tuple[str, ...]
    judge: str
    judge_kind: JudgeKind
    state: State = State.OK
    preference: float | None = None
    scores: tuple[float, ...] = ()
    label: str = ""
    first_on_a: bool = True
    sample: int = 0
    turn: int = 0
    draw: int = 0
    reasoning: str = ""
    seconds: float = 0.0
    created: datetime | None = None
    gold_correct: bool | None = None
    id: str = ""
    item: str = ""

    @property
    def choice(self) -> Choice | None:
        if self.preference is None:
            return None
        if self.preference == 0.5:
            return Choice.TIE
        return Choice.WIN if self.preference > 0.5 else Choice.LOSE


PREFERENCES: Mapping[Choice, float] = {Choice.WIN: 1.0, Choice.TIE: 0.5, Choice.LOSE: 0.0}


def preference_of_side(side: str, first_on_a: bool) -> float:
    """Map "A", "B" or "neither" to a preference for the first system."""
    if side == "neither":
        return 0.5
    return 1.0 if (side == "A") == first_on_a else 0.0
