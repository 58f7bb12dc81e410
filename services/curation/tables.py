"""Tables of the curation service: what people decide and write. Datasets and corpora live in the object store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKeyConstraint, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData()


class QueueRow(Base):
    """A review queue; named by its dataset."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    overlap: Mapped[int] = mapped_column(Integer)
    # By source: how many examples are wanted of it.
    wanted: Mapped[dict[str, int]] = mapped_column(JSON)
    # By source: the funnel on the way to the queue.
    funnels: Mapped[dict[str, Any]] = mapped_column(JSON)
    updated: Mapped[float] = mapped_column(Double)


class CandidateRow(Base):
    """A candidate before people. `rank` is its place in the order of review."""

    __tablename__ = "candidates"
    __table_args__ = (
        ForeignKeyConstraint(["queue"], ["queues.name"], ondelete="CASCADE"),
        Index("candidates_by_rank", "queue", "state", "rank"),
        # How many of each source are in which state, without reading the texts.
        Index("candidates_by_source", "queue", "source", "state"),
        Index("candidates_by_lease", "queue", "lease_owner"),
    )

    queue: Mapped[str] = mapped_column(String(63), primary_key=True)
    # "<source>.<id of the candidate in its source>".
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    source: Mapped[str] = mapped_column(String(63))
    rank: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Double)
    candidate: Mapped[dict[str, Any]] = mapped_column(JSON)
    near_duplicates: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(Integer)
    lease_owner: Mapped[str] = mapped_column(String(128))
    lease_until: Mapped[float] = mapped_column(Double)


class ReviewRow(Base):
    """One person's decision on one candidate."""

    __tablename__ = "reviews"
    __table_args__ = (
        ForeignKeyConstraint(["queue", "candidate"], ["candidates.queue", "candidates.id"], ondelete="CASCADE"),
        UniqueConstraint("queue", "candidate", "reviewer", name="reviews_one_each"),
        Index("reviews_by_reviewer", "queue", "reviewer", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    queue: Mapped[str] = mapped_column(String(63))
    candidate: Mapped[str] = mapped_column(String(255))
    reviewer: Mapped[str] = mapped_column(String(128))
    decision: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    # Turns as [role, content], where the reviewer edited.
    messages: Mapped[list[list[str]]] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Double)


class DraftRow(Base):
    """An example that somebody is writing."""

    __tablename__ = "drafts"
    __table_args__ = (Index("drafts_newest", "collection", "created", "id"),)

    collection: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    request_id: Mapped[str | None] = mapped_column(String(128), unique=True)
    group: Mapped[str] = mapped_column(String(1))
    split: Mapped[str] = mapped_column(String(8))
    messages: Mapped[list[list[str]]] = mapped_column(JSON)
    tags: Mapped[list[str]] = mapped_column(JSON)
    author: Mapped[str] = mapped_column(String(128))
    # Of the text that it began as; empty for one's own.
    attribution: Mapped[dict[str, str]] = mapped_column(JSON, server_default="{}")
    submitted: Mapped[bool]
    version: Mapped[int] = mapped_column(Integer)
    created: Mapped[float] = mapped_column(Double)
    updated: Mapped[float] = mapped_column(Double)
