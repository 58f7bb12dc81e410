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


_S, _V, _I = t.slots.c, t.verdicts.c, t.items.c
_STUDY, _ANNOTATOR = _S.study == sa.bindparam("of"), sa.bindparam("who", type_=sa.String)
_SEEN = sa.select(_V.item).where(_V.study == sa.bindparam("of"), _V.judge == _ANNOTATOR)


_LEASED = {
    "state": "leased",
    "annotator": _ANNOTATOR,
    "lease": sa.bindparam("token", type_=sa.String),
    "expires": sa.bindparam("until", type_=sa.Float),
}


def _take(*free: sa.ColumnElement[bool]) -> sa.UpdateBase:
    """Choose a place and lease it, in one statement."""
    chosen = sa.select(_S.id).where(_STUDY, *free, _S.item.not_in(_SEEN)).order_by(_S.id).limit(1)
    place = chosen.with_for_update(skip_locked=True).scalar_subquery()
    return t.slots.update().where(_S.id == place).values(_LEASED).returning(*t.slots.c)


# Statements of every item that anybody judges: to make one takes longer than to run it.
_TAKE_OPEN = _take(_S.state == "open")
_TAKE_LAPSED = _take(_S.state == "leased", _S.expires < sa.bindparam("now", type_=sa.Float))
_HELD = sa.select(t.slots).where(_STUDY, _S.annotator == _ANNOTATOR, _S.state == "leased").order_by(_S.id).limit(1)
_OWNED = (
    sa.select(t.slots, _I.prompt_id, _I.sample, _I.turn, _I.systems, _I.gold)
    .join(t.items, _I.id == _S.item)
    .where(_S.item == sa.bindparam("item"), _S.lease == sa.bindparam("lease"), _S.annotator == _ANNOTATOR)
    .with_for_update(of=t.slots)
)
_SETTLE = t.slots.update().where(_S.id == sa.bindparam("place")).values(state="done")
_RENEW = t.slots.update().where(_S.id == sa.bindparam("place")).values(_LEASED).returning(*t.slots.c)


def held(connection: sa.Connection, study: str, annotator: str) -> Place | None:
    """The place that a person holds; their lease may have run out, but nobody else took it."""
    return _first(connection, _HELD, of=study, who=annotator)


def take_open(connection: sa.Connection, spec: StudySpec, annotator: str) -> Place | None:
    """Lease the next place that nobody holds. A row that another transaction is about to take is passed over."""
    return _first(connection, _TAKE_OPEN, of=spec.name, **_lease(spec, annotator))


def take_lapsed(connection: sa.Connection, spec: StudySpec, annotator: str) -> Place | None:
    """Lease a place whose holder let the lease run out."""
    return _first(connection, _TAKE_LAPSED, of=spec.name, now=time.time(), **_lease(spec, annotator))


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
    new = {"study": spec.name, "item": found.id, "first_on_a": found.first_on_a, **_LEASED}
    return _first(connection, t.slots.insert().values(new).returning(*t.slots.c), **_lease(spec, annotator))


def renew(connection: sa.Connection, spec: StudySpec, place: Place, annotator: str) -> Place:
    """Lease a place to somebody. Who holds it keeps the lease, so that a second window does not end the first's."""
    lease = _lease(spec, annotator)
    if place["state"] == "leased" and place["annotator"] == annotator and place["lease"]:
        lease["token"] = place["lease"]
    renewed = _first(connection, _RENEW, place=place["id"], **lease)
    assert renewed is not None
    return renewed


def owned(connection: sa.Connection, item: str, lease: str, annotator: str) -> Place:
    """The place under this lease, with where its item stands. Raises Conflict where there is none."""
    place = _first(connection, _OWNED, item=item, lease=lease, who=annotator) if lease else None
    if place is None:
        raise Conflict(
            f"{annotator} does not hold this item",
            remedy="ask for the next item: the lease ran out, or is not yours",
        )
    return place


def settle(connection: sa.Connection, place: Place) -> None:
    """The place has its verdict."""
    connection.execute(_SETTLE, {"place": place["id"]})


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


def _lease(spec: StudySpec, annotator: str) -> dict[str, Any]:
    return {
        "who": annotator,
        "token": secrets.token_urlsafe(24),
        "until": time.time() + spec.human.lease_seconds,
    }


def _judged_by(spec: StudySpec, annotator: str) -> sa.Select[Any]:
    v = t.verdicts.c
    return sa.select(v.item).where(v.study == spec.name, v.judge == annotator)


def _first(connection: sa.Connection, query: Any, **values: Any) -> Place | None:
    row = connection.execute(query, values).mappings().first()
    return None if row is None else dict(row)
