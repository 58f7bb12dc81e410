"""The review queue: one candidate at a time, a table for many, and the funnel that led to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from lima.common.v1 import message_pb2
from lima.curation.v1 import curation_pb2, review_pb2
from services.console import differences, security
from services.console.answers import calls, done
from services.console.backends import PAGE_SECONDS, WRITE_SECONDS, Backends
from services.console.funnels import bars_of
from services.console.gathering import settle
from services.console.sessions import Permission, Session
from services.console.views import last_part, page
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound

router = APIRouter()
Reviewer = Annotated[Session, Depends(security.need(Permission.TASKS))]

DECISIONS = {
    "accept": review_pb2.DECISION_ACCEPT,
    "reject": review_pb2.DECISION_REJECT,
    "edit": review_pb2.DECISION_EDIT,
    "skip": review_pb2.DECISION_SKIP,
}
# Why a candidate is not taken, in the words that go into the record.
REASONS = ("not-helpful", "wrong", "unclear-prompt", "needs-context", "style", "unsafe")
STATES = ("", "pending", "accepted", "rejected", "conflict")
TABLE_SIZE = 50
SHOWN_DUPLICATES = 3
MAX_TURN = 100_000


@router.get("/review")
async def queues(request: Request, _session: Reviewer) -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        answer = await backends.review.ListQueues(review_pb2.ListQueuesRequest(page_size=200), timeout=PAGE_SECONDS)
    return page(request, "review_queues.html", queues=answer.queues)


@router.get("/review/{queue}/next")
async def next_candidate(request: Request, queue: str, session: Reviewer, source: str = "") -> Response:
    """Leases the next candidate to the reviewer and shows it; the queue's end is a page of its own.

    No redirect leads to the candidate's own address: a script of the page names it, which saves a way to the server.
    """
    backends: Backends = request.app.state.resources.backends
    asked = review_pb2.AssignCandidateRequest(parent=f"queues/{queue}", reviewer=session.name, source=source)
    try:
        return await _shown(request, queue, source, backends.review.AssignCandidate(asked, timeout=PAGE_SECONDS))
    except (NotFound, FailedPrecondition):
        async with calls():
            progress = await backends.review.GetReviewProgress(
                review_pb2.GetReviewProgressRequest(parent=f"queues/{queue}"), timeout=PAGE_SECONDS
            )
        return page(request, "review_done.html", queue=queue, progress=progress)


@router.get("/review/{queue}/table")
async def table(
    request: Request, queue: str, _session: Reviewer, state: str = "pending", source: str = "", page_token: str = ""
) -> Response:
    backends: Backends = request.app.state.resources.backends
    if state not in STATES:
        raise InvalidInput("state", state, f"must be one of {', '.join(STATES[1:])} or empty")
    asked = review_pb2.ListCandidatesRequest(
        parent=f"queues/{queue}", source=source, state=state, page_size=TABLE_SIZE, page_token=page_token
    )
    async with calls():
        answer = await backends.review.ListCandidates(asked, timeout=PAGE_SECONDS)
    return page(
        request,
        "review_table.html",
        queue=queue,
        state=state,
        states=STATES,
        source=source,
        candidates=answer.candidates,
        next_page_token=answer.next_page_token,
        reasons=REASONS,
    )


@router.post("/review/{queue}/table")
async def bulk(request: Request, queue: str, session: Reviewer) -> Response:
    """One decision for every ticked row. Rows that somebody else changed in between are told, not forced."""
    backends: Backends = request.app.state.resources.backends
    form = await request.form()
    decision = DECISIONS.get(str(form.get("decision", "")))
    if decision is None:
        raise InvalidInput("decision", form.get("decision"), f"must be one of {', '.join(DECISIONS)}")
    review = review_pb2.Review(reviewer=session.name, decision=decision, reason=str(form.get("reason", ""))[:200])
    refused: list[str] = []
    for row in form.getlist("row")[:TABLE_SIZE]:
        candidate, _, etag = str(row).partition(" ")
        try:
            await _submit(backends, queue, candidate, etag, review)
        except (Conflict, NotFound, FailedPrecondition):
            refused.append(candidate)
    if refused:
        raise Conflict(", ".join(refused))
    query = urlencode({"state": form.get("state", "pending"), "source": form.get("source", "")})
    return done(request, f"/review/{quote(queue)}/table?{query}")


@router.get("/review/{queue}/funnel")
async def funnel(request: Request, queue: str, _session: Reviewer) -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        answer = await backends.curation.GetFunnel(
            curation_pb2.GetFunnelRequest(name=f"queues/{queue}"), timeout=PAGE_SECONDS
        )
    return page(request, "funnel.html", name=queue, back=f"/review/{quote(queue)}/next", funnel=answer, bars=bars_of)


@router.post("/review/{queue}/undo")
async def undo(request: Request, queue: str, session: Reviewer, source: Annotated[str, Form()] = "") -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        candidate = await backends.review.UndoReview(
            review_pb2.UndoReviewRequest(parent=f"queues/{queue}", reviewer=session.name), timeout=WRITE_SECONDS
        )
    return done(request, _path(queue, last_part(candidate.name), source))


@router.get("/review/{queue}/c/{candidate_id}")
async def candidate_page(
    request: Request, queue: str, candidate_id: str, _session: Reviewer, source: str = ""
) -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = review_pb2.GetCandidateRequest(name=f"queues/{queue}/candidates/{candidate_id}")
    return await _shown(request, queue, source, backends.review.GetCandidate(asked, timeout=PAGE_SECONDS))


async def _shown(request: Request, queue: str, source: str, asked: Awaitable[review_pb2.Candidate]) -> Response:
    """The page of one candidate, with its near-duplicates. Raises what the service says of the candidate."""
    backends: Backends = request.app.state.resources.backends
    counted = review_pb2.GetReviewProgressRequest(parent=f"queues/{queue}")
    async with calls():
        candidate, progress = await asyncio.gather(
            asked,
            settle("progress", backends.review.GetReviewProgress(counted, timeout=PAGE_SECONDS)),
        )
    near = (review_pb2.GetCandidateRequest(name=name) for name in candidate.near_duplicates[:SHOWN_DUPLICATES])
    duplicates = await asyncio.gather(
        *(settle("near-duplicate", backends.review.GetCandidate(one, timeout=PAGE_SECONDS)) for one in near)
    )
    return page(
        request,
        "review.html",
        queue=queue,
        source=source,
        candidate=candidate,
        here=_path(queue, last_part(candidate.name), source),
        progress=progress,
        duplicates=[(other, _changes(candidate.messages, other.messages)) for other in duplicates if other],
        edits=[(review, _changes(candidate.messages, review.messages)) for review in candidate.reviews],
        reasons=REASONS,
    )


@router.post("/review/{queue}/c/{candidate_id}/{decision}")
async def submit(
    request: Request, queue: str, candidate_id: str, decision: str, session: Reviewer, etag: Annotated[str, Form()]
) -> Response:
    if decision not in DECISIONS:
        raise InvalidInput("decision", decision, f"must be one of {', '.join(DECISIONS)}")
    form = await request.form()
    review = review_pb2.Review(
        reviewer=session.name,
        decision=DECISIONS[decision],
        reason=str(form.get("reason", "")).strip()[:500],
        messages=_edited(form.getlist("role"), form.getlist("content")) if decision == "edit" else [],
    )
    backends: Backends = request.app.state.resources.backends
    await _submit(backends, queue, candidate_id, etag, review)
    source = str(form.get("source", ""))
    query = f"?{urlencode({'source': source})}" if source else ""
    return done(request, f"/review/{quote(queue)}/next{query}")


@router.post("/parts/diff")
async def diff(request: Request, _session: Reviewer) -> Response:
    """What an edit under way changes, for the page that shows it as one types."""
    form = await request.form()
    before, after = form.getlist("before"), form.getlist("content")
    changes = [
        differences.pieces(str(old)[:MAX_TURN], str(new)[:MAX_TURN]) for old, new in zip(before, after, strict=False)
    ]
    return page(request, "diff.html", changes=changes)


async def _submit(backends: Backends, queue: str, candidate_id: str, etag: str, review: review_pb2.Review) -> None:
    """Submits a review. One that has arrived already, before its answer was lost, is not refused."""
    name = f"queues/{queue}/candidates/{candidate_id}"
    try:
        async with calls():
            await backends.review.SubmitReview(
                review_pb2.SubmitReviewRequest(name=name, etag=etag, review=review), timeout=WRITE_SECONDS
            )
    except Conflict as stale:
        async with calls():
            now = await backends.review.GetCandidate(review_pb2.GetCandidateRequest(name=name), timeout=PAGE_SECONDS)
        if not any(_same(review, kept) for kept in now.reviews):
            raise stale from None


def _same(review: review_pb2.Review, kept: review_pb2.Review) -> bool:
    return (
        kept.reviewer == review.reviewer
        and kept.decision == review.decision
        and [turn.content for turn in kept.messages] == [turn.content for turn in review.messages]
    )


def _edited(roles: Sequence[object], contents: Sequence[object]) -> list[message_pb2.Message]:
    if len(roles) != len(contents) or not roles:
        raise InvalidInput("content", len(contents), "must hold one text for each turn")
    # Browsers send line ends as CR LF; the texts have LF.
    return [
        message_pb2.Message(role=str(role), content=str(content).replace("\r\n", "\n")[:MAX_TURN])
        for role, content in zip(roles, contents, strict=True)
    ]


def _changes(
    before: Sequence[message_pb2.Message], after: Sequence[message_pb2.Message]
) -> list[list[differences.Piece]]:
    return [differences.pieces(old.content, new.content) for old, new in zip(before, after, strict=False)]


def _path(queue: str, candidate_id: str, source: str) -> str:
    query = f"?{urlencode({'source': source})}" if source else ""
    return f"/review/{quote(queue)}/c/{quote(candidate_id)}{query}"
