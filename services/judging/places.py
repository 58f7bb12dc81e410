"""Places of items for people's verdicts: one row each, held by one person at a time.

Every function runs within the caller's transaction.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.judging import tables as t
from services.judging.study import StudySpec
from services.judging.verdicts import State
from services.shared.errors import Conflict

Place = dict[str, Any]


async def held(session: AsyncSession, study: str, annotator: str) -> Place | None:
    """The place that a person holds; their lease may have run out, but nobody else took it."""
    s = t.slots.c
    mine = (s.study == study) & (s.annotator == annotator) & (s.state == "leased")
    return await _first(session, sa.select(t.slots).where(mine).order_by(s.id).limit(1))


async def take_open(session: AsyncSession, spec: StudySpec, annotator: str) -> Place | None:
    """Lease the next place that nobody holds. A row that another transaction is about to take is passed over."""
    s = t.slots.c
    free = sa.select(s.id).where(s.study == spec.name, s.state == "open", s.item.not_in(_judged_by(spec, annotator)))
    return await _take(session, spec, annotator, free.order_by(s.id))


async def take_lapsed(session: AsyncSession, spec: StudySpec, annotator: str) -> Place | None:
    """Lease a place whose holder let the lease run out."""
    s = t.slots.c
    free = sa.select(s.id).where(
        s.study == spec.name,
        s.state == "leased",
        s.expires < time.time(),
        s.item.not_in(_judged_by(spec, annotator)),
    )
    return await _take(session, spec, annotator, free)


async def take_gold(session: AsyncSession, spec: StudySpec, annotator: str, item: str = "") -> Place | None:
    """A place of the person's own on a gold item that they have not seen; on this one, where one is named."""
    i = t.items.c
    unseen = (
        sa.select(i.id, i.first_on_a)
        .where(i.study == spec.name, i.gold != "", i.id.not_in(_judged_by(spec, annotator)))
        .order_by(i.position)
        .limit(1)
    )
    found = (await session.execute(unseen.where(i.id == item) if item else unseen)).first()
    if found is None:
        return None
    new = {"study": spec.name, "item": found.id, "first_on_a": found.first_on_a, **_lease(spec, annotator)}
    return await _first(session, t.slots.insert().values(new).returning(*t.slots.c))


async def renew(session: AsyncSession, spec: StudySpec, place: Place, annotator: str) -> Place:
    """Lease a place to somebody. Who holds it keeps the lease, so that a second window does not end the first's."""
    values = _lease(spec, annotator)
    if place["state"] == "leased" and place["annotator"] == annotator and place["lease"]:
        values["lease"] = place["lease"]
    await session.execute(t.slots.update().where(t.slots.c.id == place["id"]).values(values))
    return {**place, **values}


async def owned(session: AsyncSession, item: str, lease: str, annotator: str) -> Place:
    """The place under this lease, with where its item stands. Raises Conflict where there is none."""
    s, i = t.slots.c, t.items.c
    query = (
        sa.select(t.slots, i.prompt_id, i.sample, i.turn, i.systems, i.gold)
        .join(t.items, i.id == s.item)
        .where(s.item == item, s.lease == lease, s.annotator == annotator)
        .with_for_update(of=t.slots)
    )
    place = await _first(session, query) if lease else None
    if place is None:
        raise Conflict(
            f"{annotator} does not hold this item",
            remedy="ask for the next item: the lease ran out, or is not yours",
        )
    return place


async def settle(session: AsyncSession, place: Place) -> None:
    """The place has its verdict."""
    await session.execute(t.slots.update().where(t.slots.c.id == place["id"]).values(state="done"))


async def give_up(session: AsyncSession, place: Place) -> None:
    """Free a place for others; a place on a gold item was made for one person and goes."""
    gold = (await session.execute(sa.select(t.items.c.gold).where(t.items.c.id == place["item"]))).scalar_one()
    chosen = t.slots.c.id == place["id"]
    if gold:
        await session.execute(t.slots.delete().where(chosen))
    else:
        await session.execute(t.slots.update().where(chosen).values(state="open", annotator="", lease="", expires=0))


async def to_return(session: AsyncSession, item: str, state: str, annotator: str) -> Place | None:
    """The place of a verdict that is taken back; of a skipped item any that is open."""
    s = t.slots.c
    mine = sa.select(t.slots).where(s.item == item, s.annotator == annotator, s.state == "done")
    free = sa.select(t.slots).where(s.item == item, s.state == "open")
    query = free if state == State.SKIPPED else mine
    return await _first(session, query.limit(1).with_for_update(skip_locked=True))


async def open_items(session: AsyncSession, study: str, limit: int) -> int:
    """Items with an open place, counted up to `limit`."""
    s = t.slots.c
    found = sa.select(s.item).where(s.study == study, s.state == "open").distinct().limit(limit).subquery()
    return int((await session.execute(sa.select(sa.func.count()).select_from(found))).scalar_one())


async def _take(session: AsyncSession, spec: StudySpec, annotator: str, free: sa.Select[Any]) -> Place | None:
    chosen = free.limit(1).with_for_update(skip_locked=True).scalar_subquery()
    taken = t.slots.update().where(t.slots.c.id == chosen).values(_lease(spec, annotator)).returning(*t.slots.c)
    return await _first(session, taken)


def _lease(spec: StudySpec, annotator: str) -> dict[str, Any]:
    return {
        "state": "leased",
        "annotator": annotator,
        "lease": secrets.token_urlsafe(24),
        "expires": time.time() + spec.human.lease_seconds,
    }


def _judged_by(spec: StudySpec, annotator: str) -> sa.Select[Any]:
    v = t.verdicts.c
    return sa.select(v.item).where(v.study == spec.name, v.judge == annotator)


async def _first(session: AsyncSession, query: Any) -> Place | None:
    row = (await session.execute(query)).mappings().first()
    return None if row is None else dict(row)
