"""Places of items for people's verdicts: one row each, held by one person at a time.

Every function runs within the caller's transaction, and is synchronous so that the whole of it runs in one piece.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import sqlalchemy as sa

from services.judging import tables as t
from services.judging.study import StudySpec
from services.judging.verdicts import State
from services.shared.errors import Conflict

Place = dict[str, Any]


def held(connection: sa.Connection, study: str, annotator: str) -> Place | None:
    """The place that a person holds; their lease may have run out, but nobody else took it."""
    s = t.slots.c
    mine = (s.study == study) & (s.annotator == annotator) & (s.state == "leased")
    return _first(connection, sa.select(t.slots).where(mine).order_by(s.id).limit(1))


def take_open(connection: sa.Connection, spec: StudySpec, annotator: str) -> Place | None:
    """Lease the next place that nobody holds. A row that another transaction is about to take is passed over."""
    s = t.slots.c
    free = sa.select(s.id).where(s.study == spec.name, s.state == "open", s.item.not_in(_judged_by(spec, annotator)))
    return _take(connection, spec, annotator, free.order_by(s.id))


def take_lapsed(connection: sa.Connection, spec: StudySpec, annotator: str) -> Place | None:
    """Lease a place whose holder let the lease run out."""
    s = t.slots.c
    free = sa.select(s.id).where(
        s.study == spec.name,
        s.state == "leased",
        s.expires < time.time(),
        s.item.not_in(_judged_by(spec, annotator)),
    )
    return _take(connection, spec, annotator, free)


def take_gold(connection: sa.Connection, spec: StudySpec, annotator: str, item: str = "") -> Place | None:
    """A place of the person's own on a gold item that they have not seen; on this one, where one is named."""
    i = t.items.c
    unseen = (
        sa.select(i.id, i.first_on_a)
        .where(i.study == spec.name, i.gold != "", i.id.not_in(_judged_by(spec, annotator)))
        .order_by(i.position)
        .limit(1)
    )
    found = (connection.execute(unseen.where(i.id == item) if item else unseen)).first()
    if found is None:
        return None
    new = {"study": spec.name, "item": found.id, "first_on_a": found.first_on_a, **_lease(spec, annotator)}
    return _first(connection, t.slots.insert().values(new).returning(*t.slots.c))


def renew(connection: sa.Connection, spec: StudySpec, place: Place, annotator: str) -> Place:
    """Lease a place to somebody. Who holds it keeps the lease, so that a second window does not end the first's."""
    values = _lease(spec, annotator)
    if place["state"] == "leased" and place["annotator"] == annotator and place["lease"]:
        values["lease"] = place["lease"]
    connection.execute(t.slots.update().where(t.slots.c.id == place["id"]).values(values))
    return {**place, **values}


def owned(connection: sa.Connection, item: str, lease: str, annotator: str) -> Place:
    """The place under this lease, with where its item stands. Raises Conflict where there is none."""
    s, i = t.slots.c, t.items.c
    query = (
        sa.select(t.slots, i.prompt_id, i.sample, i.turn, i.systems, i.gold)
        .join(t.items, i.id == s.item)
        .where(s.item == item, s.lease == lease, s.annotator == annotator)
        .with_for_update(of=t.slots)
    )
    place = _first(connection, query) if lease else None
    if place is None:
        raise Conflict(
            f"{annotator} does not hold this item",
            remedy="ask for the next item: the lease ran out, or is not yours",
        )
    return place


def settle(connection: sa.Connection, place: Place) -> None:
    """The place has its verdict."""
    connection.execute(t.slots.update().where(t.slots.c.id == place["id"]).values(state="done"))


def give_up(connection: sa.Connection, place: Place) -> None:
    """Free a place for others; a place on a gold item was made for one person and goes."""
    gold = (connection.execute(sa.select(t.items.c.gold).where(t.items.c.id == place["item"]))).scalar_one()
    chosen = t.slots.c.id == place["id"]
    if gold:
        connection.execute(t.slots.delete().where(chosen))
    else:
        connection.execute(t.slots.update().where(chosen).values(state="open", annotator="", lease="", expires=0))


def to_return(connection: sa.Connection, item: str, state: str, annotator: str) -> Place | None:
    """The place of a verdict that is taken back; of a skipped item any that is open."""
    s = t.slots.c
    mine = sa.select(t.slots).where(s.item == item, s.annotator == annotator, s.state == "done")
    free = sa.select(t.slots).where(s.item == item, s.state == "open")
    query = free if state == State.SKIPPED else mine
    return _first(connection, query.limit(1).with_for_update(skip_locked=True))


def open_items(connection: sa.Connection, study: str, limit: int) -> int:
    """Items with an open place, counted up to `limit`."""
    s = t.slots.c
    found = sa.select(s.item).where(s.study == study, s.state == "open").distinct().limit(limit).subquery()
    return int((connection.execute(sa.select(sa.func.count()).select_from(found))).scalar_one())


def _take(connection: sa.Connection, spec: StudySpec, annotator: str, free: sa.Select[Any]) -> Place | None:
    chosen = free.limit(1).with_for_update(skip_locked=True).scalar_subquery()
    taken = t.slots.update().where(t.slots.c.id == chosen).values(_lease(spec, annotator)).returning(*t.slots.c)
    return _first(connection, taken)


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


def _first(connection: sa.Connection, query: Any) -> Place | None:
    row = (connection.execute(query)).mappings().first()
    return None if row is None else dict(row)
