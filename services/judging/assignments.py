"""Items for people: leased to one person at a time, so that nobody's work is lost or done twice."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.judging import tables as t
from services.judging.items import Item
from services.judging.repository import StudyRepository
from services.judging.rows import to_item, verdict_row
from services.judging.study import StudySpec, judged
from services.judging.tallies import Tally, add_verdicts, remove_verdicts, tallies, tally
from services.judging.verdicts import State, Verdict
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound

# One in so many items is gold, while there are gold items that the person has not seen.
GOLD_EVERY = 10
MAX_TEXT = 20_000
# Counting further would cost time at every step and tell an annotator nothing.
COUNTED_REMAINING = 10_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item that one person holds until the lease runs out."""

    item: Item
    first_on_a: bool
    lease: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Progress:
    annotator: str
    done: int
    skipped: int
    remaining: int
    gold_accuracy: float | None
    median_seconds: float


class Assignments:
    """Slots of studies. Every method is one transaction."""

    def __init__(self, repository: StudyRepository) -> None:
        self._repository = repository
        self._database = repository.database

    async def assign(self, spec: StudySpec, annotator: str) -> Assignment:
        """The item the person already holds, or the next one. Raises NotFound when nothing is left for them."""
        async with self._database.transaction() as session:
            slot = await self._held(session, spec.name, annotator)
            if slot is None and await self._gold_is_due(session, spec, annotator):
                slot = await self._gold_slot(session, spec.name, annotator)
            if slot is None:
                slot = await self._free_slot(session, spec.name, annotator)
            if slot is None:
                slot = await self._gold_slot(session, spec.name, annotator) if spec.human.gold else None
            if slot is None:
                raise NotFound("item left for", annotator, remedy="this study needs nothing more from this annotator")
            return await self._lease(session, spec, slot, annotator)

    async def submit(
        self, spec: StudySpec, item: str, lease: str, annotator: str, choice: str, reasoning: str, seconds: float
    ) -> None:
        """Take a verdict; the same one again is no error. Raises Conflict for a lease that is not theirs."""
        if choice not in spec.rules.choices:
            raise InvalidInput("choice", choice, f"must be one of {', '.join(spec.rules.choices)}")
        async with self._database.transaction() as session:
            slot = await self._owned(session, item, lease, annotator)
            verdict = _verdict(slot, annotator, State.OK, reasoning, seconds)
            verdict = judged(spec, verdict, choice)
            if slot["state"] == "done":
                await _same_again(session, verdict)
                return
            await _record(session, spec.name, verdict)
            await session.execute(t.slots.update().where(t.slots.c.id == slot["id"]).values(state="done"))

    async def skip(self, spec: StudySpec, item: str, lease: str, annotator: str, reason: str) -> None:
        """Decline an item: it goes to somebody else, and is kept as skipped with the reason."""
        if not reason.strip():
            raise InvalidInput("reason", reason, "must say why the item is skipped")
        async with self._database.transaction() as session:
            slot = await self._owned(session, item, lease, annotator)
            if slot["state"] == "done":
                raise Conflict("this item has a verdict already", remedy="undo it first")
            verdict = _verdict(slot, annotator, State.SKIPPED, reason, 0.0)
            await _record(session, spec.name, verdict, gold=bool(slot["gold"]))
            await _give_up(session, slot)

    async def undo(self, spec: StudySpec, annotator: str) -> Assignment:
        """Take back the person's last verdict and lease its item to them again."""
        v = t.verdicts.c
        last = (
            sa.select(v.id, v.item, v.state, t.items.c.gold)
            .join(t.items, t.items.c.id == v.item)
            .where(v.study == spec.name, v.judge == annotator, v.kind == "human")
        )
        async with self._database.transaction() as session:
            found = (await session.execute(last.order_by(v.id.desc()).limit(1))).first()
            if found is None:
                raise FailedPrecondition(f"{annotator} has given no verdict that could be undone")
            slot = await self._slot_to_return(session, found.item, found.state, annotator)
            held = await self._held(session, spec.name, annotator)
            if held is not None and held["id"] != slot["id"]:
                await _give_up(session, held)
            skipped_gold = {found.item} if found.state == State.SKIPPED and found.gold else ()
            await remove_verdicts(session, spec.name, v.id == found.id, skipped_gold=skipped_gold)
            return await self._lease(session, spec, slot, annotator)

    async def progress(self, spec: StudySpec, annotator: str) -> Progress:
        async with self._database.session() as session:
            mine = await tally(session, spec.name, annotator, "human")
            return (await self._progress(session, spec.name, [mine]))[0]

    async def everyone(self, study: str) -> list[Progress]:
        """The progress of all that have said anything."""
        async with self._database.session() as session:
            people = [each for each in await tallies(session, study) if each.kind == "human"]
            return await self._progress(session, study, people) if people else []

    async def _progress(self, session: AsyncSession, study: str, people: Sequence[Tally]) -> list[Progress]:
        s, c = t.slots.c, t.studies.c
        free = sa.select(s.item).where(s.study == study, s.state == "open").distinct().limit(COUNTED_REMAINING)
        places = (await session.execute(sa.select(sa.func.count()).select_from(free.subquery()))).scalar_one()
        plain = (await session.execute(sa.select(c.item_count - c.gold_count).where(c.name == study))).scalar() or 0
        return [_progress_of(mine, plain, places) for mine in people]

    async def _held(self, session: AsyncSession, study: str, annotator: str) -> dict[str, Any] | None:
        s = t.slots.c
        held = (s.study == study) & (s.annotator == annotator) & (s.state == "leased")
        return await _first(session, sa.select(t.slots).where(held).limit(1))

    async def _free_slot(self, session: AsyncSession, study: str, annotator: str) -> dict[str, Any] | None:
        """A lapsed lease first, then the next open slot; rows that another transaction holds are passed over."""
        s = t.slots.c
        not_mine = s.item.not_in(_judged_by(study, annotator))
        lapsed = sa.select(t.slots).where(s.study == study, s.state == "leased", s.expires < time.time(), not_mine)
        unused = sa.select(t.slots).where(s.study == study, s.state == "open", not_mine).order_by(s.id)
        for query in (lapsed, unused):
            found = await _first(session, query.limit(1).with_for_update(skip_locked=True))
            if found is not None:
                return found
        return None

    async def _gold_is_due(self, session: AsyncSession, spec: StudySpec, annotator: str) -> bool:
        if not spec.human.gold:
            return False
        given = (await tally(session, spec.name, annotator, "human")).verdicts
        return given % GOLD_EVERY == GOLD_EVERY // 2

    async def _gold_slot(self, session: AsyncSession, study: str, annotator: str) -> dict[str, Any] | None:
        """A slot of the person's own on a gold item that they have not seen."""
        i = t.items.c
        unseen = (
            sa.select(i.id, i.first_on_a)
            .where(i.study == study, i.gold != "", i.id.not_in(_judged_by(study, annotator)))
            .order_by(i.position)
            .limit(1)
        )
        item = (await session.execute(unseen)).first()
        if item is None:
            return None
        new = {
            "study": study,
            "item": item.id,
            "state": "leased",
            "annotator": annotator,
            "first_on_a": item.first_on_a,
        }
        made = await session.execute(t.slots.insert().values(new).returning(*t.slots.c))
        return dict(made.mappings().one())

    async def _lease(self, session: AsyncSession, spec: StudySpec, slot: dict[str, Any], annotator: str) -> Assignment:
        seconds = spec.human.lease_seconds
        # Opening the item in a second window must not end the first window's lease.
        lease = slot["lease"] if slot["annotator"] == annotator and slot["lease"] and slot["state"] == "leased" else ""
        lease = lease or secrets.token_urlsafe(24)
        values = {"state": "leased", "annotator": annotator, "lease": lease, "expires": time.time() + seconds}
        await session.execute(t.slots.update().where(t.slots.c.id == slot["id"]).values(values))
        row = await _first(session, sa.select(t.items).where(t.items.c.id == slot["item"]))
        assert row is not None
        return Assignment(to_item(row), bool(slot["first_on_a"]), lease, seconds)

    async def _owned(self, session: AsyncSession, item: str, lease: str, annotator: str) -> dict[str, Any]:
        """The slot under this lease, joined with the item's place."""
        s, i = t.slots.c, t.items.c
        query = (
            sa.select(t.slots, i.prompt_id, i.sample, i.turn, i.systems, i.gold)
            .join(t.items, i.id == s.item)
            .where(s.item == item, s.lease == lease, s.annotator == annotator)
            .with_for_update(of=t.slots)
        )
        slot = await _first(session, query) if lease else None
        if slot is None:
            raise Conflict(
                f"{annotator} does not hold this item",
                remedy="ask for the next item: the lease ran out, or is not yours",
            )
        return slot

    async def _slot_to_return(self, session: AsyncSession, item: str, state: str, annotator: str) -> dict[str, Any]:
        s = t.slots.c
        mine = sa.select(t.slots).where(s.item == item, s.annotator == annotator, s.state == "done")
        free = sa.select(t.slots).where(s.item == item, s.state == "open")
        query = free if state == State.SKIPPED else mine
        slot = await _first(session, query.limit(1).with_for_update(skip_locked=True))
        if slot is None:
            raise Conflict("the item has gone to somebody else", remedy="go on with the next item")
        return slot


def _judged_by(study: str, annotator: str) -> sa.Select[Any]:
    v = t.verdicts.c
    return sa.select(v.item).where(v.study == study, v.judge == annotator)


async def _first(session: AsyncSession, query: Any) -> dict[str, Any] | None:
    row = (await session.execute(query)).mappings().first()
    return None if row is None else dict(row)


async def _give_up(session: AsyncSession, slot: dict[str, Any]) -> None:
    """Free a slot for others; a gold slot was made for one person and goes."""
    gold = (await session.execute(sa.select(t.items.c.gold).where(t.items.c.id == slot["item"]))).scalar_one()
    chosen = t.slots.c.id == slot["id"]
    if gold:
        await session.execute(t.slots.delete().where(chosen))
    else:
        await session.execute(t.slots.update().where(chosen).values(state="open", annotator="", lease="", expires=0))


async def _record(session: AsyncSession, study: str, verdict: Verdict, *, gold: bool = False) -> None:
    """Add a verdict. Raises Conflict where this person has given one on the same item."""
    skipped_gold = {verdict.item} if gold else ()
    if not await add_verdicts(session, study, [verdict_row(study, verdict)], skipped_gold=skipped_gold):
        raise Conflict("this item has a verdict of the same person already", remedy="undo it to change it")


def _progress_of(mine: Tally, plain_items: int, open_items: int) -> Progress:
    """`remaining` counts items with an open place, or those the person has not seen where these are fewer."""
    seen = mine.verdicts - mine.gold - mine.gold_skipped
    remaining = max(0, min(open_items, plain_items - seen))
    return Progress(mine.judge, mine.ok, mine.skipped, remaining, mine.gold_accuracy, mine.median_seconds)


async def _same_again(session: AsyncSession, verdict: Verdict) -> None:
    """Accept a repeated submission, as after a lost reply; refuse another verdict on the same item."""
    v = t.verdicts.c
    query = sa.select(v.preference, v.label).where(v.item == verdict.item, v.judge == verdict.judge, v.state == "ok")
    kept = (await session.execute(query)).first()
    if kept is None or (kept.preference, kept.label) != (verdict.preference, verdict.label):
        raise Conflict("this item has another verdict already", remedy="undo it to change it")


def _verdict(slot: dict[str, Any], annotator: str, state: State, text: str, seconds: float) -> Verdict:
    if not 0 <= seconds <= 7 * 86400:
        raise InvalidInput("seconds", seconds, "must be from 0 to a week")
    if len(text) > MAX_TEXT:
        raise InvalidInput("reasoning", f"{len(text)} characters", f"must have at most {MAX_TEXT}")
    return Verdict(
        prompt_id=slot["prompt_id"],
        systems=tuple(slot["systems"]),
        judge=annotator,
        judge_kind="human",
        state=state,
        first_on_a=bool(slot["first_on_a"]),
        sample=slot["sample"],
        turn=slot["turn"],
        reasoning=text,
        seconds=seconds,
        created=datetime.now(UTC),
        item=slot["item"],
    )
