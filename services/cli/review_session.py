"""The terminal's view of a review queue: one candidate at a time, one key and Enter for each decision."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import grpc
import typer

from services.cli.output import note
from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.rpc.status import to_error

if TYPE_CHECKING:
    from lima.common.v1.message_pb2 import Message
    from lima.curation.v1.review_pb2 import Candidate

KEYS = "[a]ccept  [r]eject  [e]dit  [s]kip  [u]ndo  [q]uit"
TURN_MARK = "<<<<< "


@dataclass
class ReviewSession:
    """`service` is a ReviewServiceStub."""

    service: Any
    queue: str
    source: str = ""
    reviewer: str = ""

    @property
    def parent(self) -> str:
        return f"queues/{self.queue}"

    async def run(self) -> None:
        """Until the queue is empty or the reviewer quits. Raises NotFound if there is no such queue."""
        await self._tell_progress()
        candidate = await self._next()
        while candidate is not None:
            show(candidate)
            key = (await asyncio.to_thread(typer.prompt, KEYS, prompt_suffix=" > ")).strip().lower()[:1]
            if key == "q":
                break
            candidate = await self._act(key, candidate)
        await self._tell_progress()

    async def _act(self, key: str, candidate: Candidate) -> Candidate | None:
        """Carry a decision out; the next candidate, or the same one after a key that means nothing."""
        try:
            if key == "u":
                from lima.curation.v1.review_pb2 import UndoReviewRequest

                request = UndoReviewRequest(parent=self.parent, reviewer=self.reviewer)
                undone: Candidate = await self._call(self.service.UndoReview, request)
                return undone
            if key in DECISIONS:
                await self._decide(DECISIONS[key], candidate)
                return await self._next()
            note(KEYS)
        except (Conflict, InvalidInput, NotFound) as error:
            note(str(error))
            return await self._next() if isinstance(error, Conflict) else candidate
        return candidate

    async def _decide(self, decision: Any, candidate: Candidate) -> None:
        from lima.curation.v1.review_pb2 import Review, SubmitReviewRequest

        messages, reason = [], ""
        if decision == "DECISION_EDIT":
            messages = await asyncio.to_thread(edit, candidate.messages)
        if decision == "DECISION_REJECT":
            reason = await asyncio.to_thread(typer.prompt, "why", default="")
        review = Review(reviewer=self.reviewer, decision=decision, reason=reason, messages=messages)
        await self._call(
            self.service.SubmitReview, SubmitReviewRequest(name=candidate.name, etag=candidate.etag, review=review)
        )

    async def _next(self) -> Candidate | None:
        from lima.curation.v1.review_pb2 import AssignCandidateRequest

        request = AssignCandidateRequest(parent=self.parent, reviewer=self.reviewer, source=self.source)
        try:
            found: Candidate = await self._call(self.service.AssignCandidate, request)
        except NotFound as error:
            note(error.message)
            return None
        return found

    async def _tell_progress(self) -> None:
        from lima.curation.v1.review_pb2 import GetReviewProgressRequest

        done = await self._call(self.service.GetReviewProgress, GetReviewProgressRequest(parent=self.parent))
        note(f"{done.accepted} accepted, {done.rejected} rejected, {done.conflicting} in conflict")
        note(f"{done.pending} pending")

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request)
        except grpc.aio.AioRpcError as error:
            raise to_error(error) from None


DECISIONS = {"a": "DECISION_ACCEPT", "r": "DECISION_REJECT", "e": "DECISION_EDIT", "s": "DECISION_SKIP"}


def show(candidate: Candidate) -> None:
    print(f"\n── {candidate.name.rpartition('/')[2]}  score {candidate.score:g}  {candidate.attribution.licence}")
    for message in candidate.messages:
        print(f"\n{message.role.upper()}\n{message.content}")
    for line in candidate.notes:
        print(f"  · {line}")
    for name in candidate.near_duplicates[:3]:
        print(f"  ~ like {name.rpartition('/')[2]}")
    for review in candidate.reviews:
        decided = decision_name(review.decision)
        print(f"  ✓ {review.reviewer}: {decided}{f', {review.reason}' if review.reason else ''}")


def decision_name(decision: Any) -> str:
    """
    >>> decision_name(2)
    'reject'
    """
    from lima.curation.v1.review_pb2 import Decision

    return Decision.Name(decision).removeprefix("DECISION_").lower()


def edit(messages: Any) -> list[Message]:
    """The turns as the reviewer left them in an editor. Raises InvalidInput if nothing was saved."""
    text = "".join(f"{TURN_MARK}{message.role}\n{message.content}\n" for message in messages)
    edited = click.edit(text, extension=".md")
    if edited is None:
        raise InvalidInput("edit", "", "nothing was saved; the candidate is unchanged")
    return parse_turns(edited)


def parse_turns(text: str) -> list[Message]:
    """Turns from the editor's form: a line "<<<<< role" before each. Raises InvalidInput.

    >>> [(turn.role, turn.content) for turn in parse_turns("<<<<< user\\nHi\\n<<<<< assistant\\nHello\\n")]
    [('user', 'Hi'), ('assistant', 'Hello')]
    """
    from lima.common.v1.message_pb2 import Message

    turns: list[Message] = []
    for part in f"\n{text}".split(f"\n{TURN_MARK}")[1:]:
        role, _, content = part.partition("\n")
        turns.append(Message(role=role.strip(), content=content.strip()))
    if not turns:
        raise InvalidInput("edit", text[:80], f'must hold a line "{TURN_MARK}user" before each turn')
    return turns
