"""The review queue in the database: people accept, reject or edit candidates; several may have to agree.

A candidate is leased to one reviewer at a time, so that two do not read the same one; a lease that runs out is free
again. Every write changes the candidate's version, and a review must name the version it was based on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.curation.build import Accepted
from services.curation.candidates import candidate_from_json, candidate_to_json
from services.curation.funnel import Funnel
from services.curation.review import (
    STATES,
    Entry,
    Progress,
    Queued,
    QueueInfo,
    Review,
    SourceProgress,
    check,
    outcome,
    settle,
)
from services.curation.tables import CandidateRow, QueueRow, ReviewRow
from services.shared.database import Database
from services.shared.errors import Conflict, InvalidInput, NotFound
from services.shared.records import Turn

LEASE_SECONDS = 900.0
OPEN = ("pending", "conflict")


class ReviewQueues:
    def __init__(self, database: Database, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def fill(
        self,
        queue: str,
        overlap: int,
        wanted: Mapping[str, int],
        funnels: Mapping[str, Funnel],
        entries: Sequence[Entry],
    ) -> None:
        """Make the queue hold these candidates. Those that somebody reviewed stay, with their reviews."""
        async with self._database.transaction() as session:
            row = await session.get(QueueRow, queue)
            if row is None:
                row = QueueRow(name=queue)
                session.add(row)
            row.overlap, row.wanted, row.updated = overlap, dict(wanted), time.time()
            row.funnels = {source: funnel.to_json() for source, funnel in funnels.items()}
            await session.flush()
            reviewed = select(ReviewRow.candidate).where(ReviewRow.queue == queue)
            unseen = and_(CandidateRow.queue == queue, CandidateRow.id.not_in(reviewed))
            await session.execute(delete(CandidateRow).where(unseen))
            kept = set(await session.scalars(select(CandidateRow.id).where(CandidateRow.queue == queue)))
            session.add_all(_row(queue, entry) for entry in entries if entry.id not in kept)
            await session.flush()
            for candidate in await session.scalars(
                select(CandidateRow).where(CandidateRow.queue == queue, CandidateRow.id.in_(kept))
            ):
                candidate.state = settle(await _reviews(session, queue, candidate.id), overlap)

    async def assign(self, queue: str, reviewer: str, source: str = "") -> Queued:
        """Lease the next candidate to a reviewer; one that they hold comes again. Raises NotFound at the end."""
        now = time.time()
        async with self._database.transaction() as session:
            await _queue(session, queue)
            mine = select(ReviewRow.candidate).where(ReviewRow.queue == queue, ReviewRow.reviewer == reviewer)
            open_to_me = [CandidateRow.queue == queue, CandidateRow.id.not_in(mine)]
            if source:
                open_to_me.append(CandidateRow.source == source)
            held = [CandidateRow.lease_owner == reviewer, CandidateRow.lease_until >= now]
            row = await _next(session, *open_to_me, CandidateRow.state.in_(OPEN), *held)
            if row is None:
                # State by state: each walks the index in the order of review and stops at the first that is free.
                found = [
                    await _next(session, *open_to_me, CandidateRow.state == state, CandidateRow.lease_until < now)
                    for state in OPEN
                ]
                row = min((one for one in found if one is not None), key=lambda one: one.rank, default=None)
            if row is None:
                raise NotFound(
                    "candidate left to review", f"queues/{queue}", remedy="All are reviewed or leased to others."
                )
            row.lease_owner, row.lease_until = reviewer, now + self._lease_seconds
            return _queued(row, await _reviews(session, queue, row.id))

    async def get(self, queue: str, candidate: str) -> Queued:
        async with self._database.session() as session:
            row = await _candidate(session, queue, candidate)
            return _queued(row, await _reviews(session, queue, candidate))

    async def candidates(
        self, queue: str, *, source: str = "", state: str = "", after: int = -1, size: int = 50
    ) -> list[Queued]:
        """Candidates in the order of review, after a rank."""
        if state and state not in STATES:
            raise InvalidInput("state", state, f"must be one of {', '.join(STATES)}, or empty for all")
        async with self._database.session() as session:
            await _queue(session, queue)
            query: Select[CandidateRow] = select(CandidateRow).where(
                CandidateRow.queue == queue, CandidateRow.rank > after
            )
            if source:
                query = query.where(CandidateRow.source == source)
            if state:
                query = query.where(CandidateRow.state == state)
            rows = list(await session.scalars(query.order_by(CandidateRow.rank).limit(size)))
            reviews = await _reviews_of(session, queue, [row.id for row in rows])
            return [_queued(row, reviews.get(row.id, ())) for row in rows]

    async def submit(self, queue: str, candidate: str, etag: str, review: Review) -> Queued:
        """Record a review. Raises Conflict if the candidate changed since it was read."""
        check(review)
        async with self._database.transaction() as session:
            row = await _candidate(session, queue, candidate, lock=True)
            overlap = (await _queue(session, queue)).overlap
            if etag != str(row.version):
                raise Conflict(
                    f"queues/{queue}/candidates/{candidate} has changed since it was read",
                    remedy="Read it again, look at what changed, then decide.",
                )
            if row.lease_until >= time.time() and row.lease_owner not in ("", review.reviewer):
                raise Conflict(f"{candidate} is leased to another reviewer", remedy="Take the next candidate.")
            mine = and_(
                ReviewRow.queue == queue, ReviewRow.candidate == candidate, ReviewRow.reviewer == review.reviewer
            )
            await session.execute(delete(ReviewRow).where(mine))
            session.add(
                ReviewRow(
                    queue=queue,
                    candidate=candidate,
                    reviewer=review.reviewer,
                    decision=review.decision,
                    reason=review.reason,
                    messages=[[turn.role, turn.content] for turn in review.messages],
                    created=time.time(),
                )
            )
            await session.flush()
            row.state = settle(await _reviews(session, queue, candidate), overlap)
            row.version += 1
            row.lease_owner, row.lease_until = "", 0.0
            return _queued(row, await _reviews(session, queue, row.id))

    async def undo(self, queue: str, reviewer: str) -> Queued:
        """Take a reviewer's newest review back and lease the candidate to them again."""
        async with self._database.transaction() as session:
            overlap = (await _queue(session, queue)).overlap
            newest = select(ReviewRow).where(ReviewRow.queue == queue, ReviewRow.reviewer == reviewer)
            review = await session.scalar(newest.order_by(ReviewRow.id.desc()).limit(1))
            if review is None:
                raise NotFound(
                    "review to take back", f"queues/{queue}", remedy=f"{reviewer} has reviewed nothing here."
                )
            row = await _candidate(session, queue, review.candidate, lock=True)
            await session.delete(review)
            await session.flush()
            row.state = settle(await _reviews(session, queue, row.id), overlap)
            row.version += 1
            row.lease_owner, row.lease_until = reviewer, time.time() + self._lease_seconds
            return _queued(row, await _reviews(session, queue, row.id))

    async def info(self, queue: str) -> QueueInfo:
        async with self._database.session() as session:
            return await _info(session, await _queue(session, queue))

    async def queues(self, after: str = "", size: int = 50) -> list[QueueInfo]:
        async with self._database.session() as session:
            query = select(QueueRow).where(QueueRow.name > after).order_by(QueueRow.name).limit(size)
            return [await _info(session, row) for row in list(await session.scalars(query))]

    async def accepted(self, queue: str) -> dict[str, dict[str, Accepted]]:
        """What people accepted, by source and by the candidate's id in its source. Raises NotFound."""
        found: dict[str, dict[str, Accepted]] = {}
        async with self._database.session() as session:
            await _queue(session, queue)
            query = select(CandidateRow).where(CandidateRow.queue == queue, CandidateRow.state == "accepted")
            for row in list(await session.scalars(query.order_by(CandidateRow.rank))):
                reviews = await _reviews(session, queue, row.id)
                found.setdefault(row.source, {})[row.id.removeprefix(f"{row.source}.")] = outcome(reviews)
        return found


def _row(queue: str, entry: Entry) -> CandidateRow:
    return CandidateRow(
        queue=queue,
        id=entry.id,
        source=entry.source,
        rank=entry.rank,
        score=entry.candidate.score,
        candidate=candidate_to_json(entry.candidate),
        near_duplicates=list(entry.near_duplicates),
        state="pending",
        version=1,
        lease_owner="",
        lease_until=0.0,
    )


async def _queue(session: AsyncSession, queue: str) -> QueueRow:
    row = await session.get(QueueRow, queue)
    if row is None:
        raise NotFound("review queue", f"queues/{queue}", remedy="Fill it first: lima review fill SPEC")
    return row


async def _candidate(session: AsyncSession, queue: str, candidate: str, lock: bool = False) -> CandidateRow:
    row = await session.get(CandidateRow, (queue, candidate), with_for_update=lock or None)
    if row is None:
        raise NotFound("candidate", f"queues/{queue}/candidates/{candidate}")
    return row


async def _next(session: AsyncSession, *conditions: Any) -> CandidateRow | None:
    """The first in the order of review, locked; one that another reviewer is just being given is passed over."""
    query = select(CandidateRow).where(*conditions).order_by(CandidateRow.rank).limit(1)
    return await session.scalar(query.with_for_update(skip_locked=True))


async def _reviews(session: AsyncSession, queue: str, candidate: str) -> list[Review]:
    return (await _reviews_of(session, queue, [candidate])).get(candidate, [])


async def _reviews_of(session: AsyncSession, queue: str, candidates: Sequence[str]) -> dict[str, list[Review]]:
    """The reviews of each candidate that has one, oldest first."""
    query = select(ReviewRow).where(ReviewRow.queue == queue, ReviewRow.candidate.in_(candidates))
    found: dict[str, list[Review]] = {}
    for row in await session.scalars(query.order_by(ReviewRow.id)):
        found.setdefault(row.candidate, []).append(_review(row))
    return found


def _review(row: ReviewRow) -> Review:
    turns = tuple(Turn.model_validate({"role": role, "content": content}) for role, content in row.messages)
    decision: Any = row.decision
    return Review(row.reviewer, decision, row.reason, turns, row.created)


def _queued(row: CandidateRow, reviews: Sequence[Review]) -> Queued:
    state: Any = row.state
    return Queued(
        queue=row.queue,
        id=row.id,
        source=row.source,
        rank=row.rank,
        candidate=candidate_from_json(row.candidate),
        near_duplicates=tuple(row.near_duplicates),
        state=state,
        etag=str(row.version),
        lease_until=row.lease_until,
        reviews=tuple(reviews),
    )


async def _info(session: AsyncSession, row: QueueRow) -> QueueInfo:
    counted = select(CandidateRow.source, CandidateRow.state, func.count()).where(CandidateRow.queue == row.name)
    counts: Counter[tuple[str, str]] = Counter()
    for source, state, count in await session.execute(counted.group_by(CandidateRow.source, CandidateRow.state)):
        counts[source, state] = count
    reviewers = select(ReviewRow.reviewer, func.count()).where(ReviewRow.queue == row.name).group_by(ReviewRow.reviewer)
    by_reviewer = dict((await session.execute(reviewers)).tuples().all())
    states = {state: sum(count for (_, found), count in counts.items() if found == state) for state in STATES}
    sources = tuple(
        SourceProgress(
            source, wanted, counts[source, "accepted"], counts[source, "pending"] + counts[source, "conflict"]
        )
        for source, wanted in row.wanted.items()
    )
    funnels = {source: Funnel.from_json(value) for source, value in row.funnels.items()}
    return QueueInfo(row.name, row.overlap, Progress(states, by_reviewer, sources), funnels)
