"""What every source yields: a candidate example that knows where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from services.shared.records import Attribution, Split, Turn


@dataclass(frozen=True, slots=True)
class Origin:
    """The row a candidate came from.

    `offset` is the byte offset of the row in the decoded file; `row_id` is the row's own id.
    """

    corpus: str
    file: str
    offset: int
    row_id: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible example.

    `id` is stable over runs and machines and fits in a resource name; `stratum` is what a draw picks first (an
    exchange, a category, a task); `split` is set where the source itself says which split it was written for.
    """

    id: str
    stratum: str
    score: float
    messages: tuple[Turn, ...]
    origin: Origin
    attribution: Attribution = field(default_factory=Attribution)
    tags: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    split: Split | None = None

    def text(self) -> str:
        return "\n\n".join(turn.content for turn in self.messages)

    def prompt(self) -> str:
        """The first user turn: what the example asks."""
        return next((turn.content for turn in self.messages if turn.role == "user"), "")

    def with_step(self, step: str) -> Candidate:
        return replace(self, steps=(*self.steps, step))


def candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    origin = candidate.origin
    return {
        "id": candidate.id,
        "stratum": candidate.stratum,
        "score": candidate.score,
        "messages": [[turn.role, turn.content] for turn in candidate.messages],
        "origin": [origin.corpus, origin.file, origin.offset, origin.row_id],
        "attribution": candidate.attribution.model_dump(exclude_defaults=True),
        "tags": list(candidate.tags),
        "steps": list(candidate.steps),
        "split": candidate.split,
    }


def candidate_from_json(value: dict[str, Any]) -> Candidate:
    return Candidate(
        id=value["id"],
        stratum=value["stratum"],
        score=value["score"],
        messages=tuple(Turn(role=role, content=content) for role, content in value["messages"]),
        origin=Origin(*value["origin"]),
        attribution=Attribution(**value["attribution"]),
        tags=tuple(value["tags"]),
        steps=tuple(value["steps"]),
        split=value["split"],
    )
