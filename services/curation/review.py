"""What people decide about candidates, and what their decisions come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.curation.build import Accepted
from services.curation.candidates import Candidate
from services.curation.funnel import Funnel
from services.curation.sources.conversations import NotAConversation, check_turns
from services.shared.digest import digest_json
from services.shared.errors import InvalidInput
from services.shared.records import Turn

Decision = Literal["accept", "reject", "edit", "skip"]
State = Literal["pending", "accepted", "rejected", "conflict"]
STATES: tuple[State, ...] = ("pending", "accepted", "rejected", "conflict")


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate on its way into a queue."""

    source: str
    rank: int
    candidate: Candidate
    near_duplicates: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.source}.{self.candidate.id}"


@dataclass(frozen=True, slots=True)
class Review:
    reviewer: str
    decision: Decision
    reason: str = ""
    messages: tuple[Turn, ...] = ()
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Queued:
    """A candidate in a queue, with what people said of it."""

    queue: str
    id: str
    source: str
    rank: int
    candidate: Candidate
    near_duplicates: tuple[str, ...]
    state: State
    etag: str
    lease_until: float
    reviews: tuple[Review, ...]


@dataclass(frozen=True, slots=True)
class SourceProgress:
    source: str
    wanted: int
    accepted: int
    pending: int


@dataclass(frozen=True, slots=True)
class Progress:
    states: Mapping[State, int]
    by_reviewer: Mapping[str, int]
    sources: tuple[SourceProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueInfo:
    name: str
    overlap: int
    progress: Progress
    funnels: Mapping[str, Funnel] = field(default_factory=dict)


def settle(reviews: Sequence[Review], overlap: int) -> State:
    """What the reviews of a candidate come to.

    Accepted or rejected once `overlap` people say so; in conflict if that many have spoken and do not agree.
    """
    taken = sum(review.decision in ("accept", "edit") for review in reviews)
    refused = sum(review.decision == "reject" for review in reviews)
    if taken >= overlap and taken > refused:
        return "accepted"
    if refused >= overlap and refused > taken:
        return "rejected"
    return "conflict" if taken and refused and taken + refused >= overlap else "pending"


def reviews_digest(accepted: Mapping[str, Mapping[str, Accepted]]) -> str:
    """A digest of what people decided, which is part of a dataset's name."""
    return digest_json(
        {
            source: {name: [[t.role, t.content] for t in one.messages or ()] for name, one in members.items()}
            for source, members in accepted.items()
        }
    )


def outcome(reviews: Sequence[Review]) -> Accepted:
    """The newest edit counts; reviewers are named by how many they were, not by who."""
    edits = [review for review in reviews if review.decision == "edit"]
    count = sum(review.decision in ("accept", "edit") for review in reviews)
    note = f"accepted by {count} reviewer{'s' if count != 1 else ''}" + (", edited" if edits else "")
    return Accepted(edits[-1].messages if edits else None, note)


def check(review: Review) -> None:
    if not review.reviewer:
        raise InvalidInput("review.reviewer", "", "must name who reviews")
    if review.decision == "edit":
        try:
            check_turns(review.messages)
        except NotAConversation as error:
            raise InvalidInput("review.messages", "", f"must be a conversation: {error}") from None
    elif review.messages:
        raise InvalidInput("review.messages", f"{len(review.messages)} turns", "are for the decision edit alone")
