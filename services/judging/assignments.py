"""Items for people: leased to one person at a time, so that nobody's work is lost or done twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from services.judging import places
from services.judging import tables as t
from services.judging.items import Item
from services.judging.places import Place
from services.judging.repository import StudyRepository
from services.judging.rows import verdict_row
from services.judging.study import StudySpec, judged
from services.judging.tallies import Tally, add_verdicts, remove_verdicts, tally
from services.judging.verdicts import State, Verdict
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound

# One in so many items is gold, while there are gold items that the person has not seen.
GOLD_EVERY = 10
MAX_TEXT = 20_000
MAX_SECONDS = 7 * 86400
# Counting further would cost time at every step and tell an annotator nothing.
COUNTED_REMAINING = 10_000
# For so long a process believes that no lease has run out, and how many items are open.
_BELIEVED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item that one person holds until the lease runs out."""

    item: Item
    first_on_a: bool
    lease: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`remaining` counts items with an open place, or those the person has not seen where these are fewer."""

    annotator: str
    done: int
    skipped: int
    remaining: int
    gold_accuracy: float | None
    median_seconds: float


class Assignments:
    """People's places in studies. Every method that writes is one short transaction."""

    def __init__(self, repository: StudyRepository) -> None:
        self._repository = repository
        self._write = repository.write
        # When each study was last seen to have no lease that had run out.
        self._none_lapsed: dict[str, float] = {}
        self._open_items: dict[str, tuple[float, int]] = {}

    async def assign(self, spec: StudySpec, annotator: str) -> Assignment:
        """The item the person already holds, or the next one. Raises NotFound when nothing is left for them."""

        def work(connection: sa.Connection) -> Place:
            place = places.held(connection, spec.name, annotator)
            if place is not None:
                return places.renew(connection, spec, place, annotator)
            return self._next(connection, spec, annotator)

        return await self._assignment(spec, await self._write(work))

    def _next(self, connection: sa.Connection, spec: StudySpec, annotator: str) -> Place:
        if _gold_is_due(connection, spec, annotator):
            place = places.take_gold(connection, spec, annotator)
            if place is not None:
                return place
        believed = self._none_lapsed.get(spec.name, 0.0) + _BELIEVED_SECONDS > time.monotonic()
        place = None if believed else self._lapsed(connection, spec, annotator)
        place = place or places.take_open(connection, spec, annotator)
        if place is None and believed:
            place = self._lapsed(connection, spec, annotator)
        if place is None and spec.human.gold:
            place = places.take_gold(connection, spec, annotator)
        if place is None:
            raise NotFound("item left for", annotator, remedy="this study needs nothing more from this annotator")
        return place

    def _lapsed(self, connection: sa.Connection, spec: StudySpec, annotator: str) -> Place | None:
        place = places.take_lapsed(connection, spec, annotator)
        if place is None:
            self._none_lapsed[spec.name] = time.monotonic()
        return place

    async def _assignment(self, spec: StudySpec, place: Place) -> Assignment:
        item = await self._repository.item(spec.name, place["item"])
        return Assignment(item, bool(place["first_on_a"]), place["lease"], spec.human.lease_seconds)

    async def submit(
        self, spec: StudySpec, item: str, lease: str, annotator: str, choice: str, reasoning: str, seconds: float
    ) -> Progress:
        """Take a verdict; the same one again is no error. Raises Conflict for a lease that is not theirs."""
        if choice not in spec.rules.choices:
            raise InvalidInput("choice", choice, f"must be one of {', '.join(spec.rules.choices)}")
        _check(reasoning, seconds)

        def work(connection: sa.Connection) -> Tally:
            place = places.owned(connection, item, lease, annotator)
            verdict = judged(spec, _verdict(place, annotator, State.OK, reasoning, seconds), choice)
            if place["state"] == "done":
                _same_again(connection, verdict)
                return tally(connection, spec.name, annotator, "human")
            mine = _record(connection, spec.name, verdict)
            places.settle(connection, place)
            return mine

        return (await self._progress(spec.name, [await self._write(work)]))[0]

    async def skip(self, spec: StudySpec, item: str, lease: str, annotator: str, reason: str) -> Progress:
        """Decline an item: it goes to somebody else, and is kept as skipped with the reason."""
        if not reason.strip():
            raise InvalidInput("reason", reason, "must say why the item is skipped")
        _check(reason, 0.0)

        def work(connection: sa.Connection) -> Tally:
            place = places.owned(connection, item, lease, annotator)
            if place["state"] == "done":
                raise Conflict("this item has a verdict already", remedy="undo it first")
            verdict = _verdict(place, annotator, State.SKIPPED, reason, 0.0)
            mine = _record(connection, spec.name, verdict, gold=bool(place["gold"]))
            places.give_up(connection, place)
            return mine

        return (await self._progress(spec.name, [await self._write(work)]))[0]

    async def undo(self, spec: StudySpec, annotator: str) -> Assignment:
        """Take back the person's last verdict and lease its item to them again."""
        place = await self._write(lambda connection: _undo(connection, spec, annotator))
        return await self._assignment(spec, place)

    async def progress(self, spec: StudySpec, annotator: str) -> Progress:
        mine = await self._repository.read(lambda connection: tally(connection, spec.name, annotator, "human"))
        return (await self._progress(spec.name, [mine]))[0]

    async def everyone(self, study: str) -> list[Progress]:
        """The progress of all that have said anything."""
        people = [each for each in await self._repository.tallies(study) if each.kind == "human"]
        return await self._progress(study, people) if people else []

    async def _progress(self, study: str, people: Sequence[Tally]) -> list[Progress]:
        facts = await self._repository.facts(study)
        open_items = await self._count_open(study)
        return [_progress_of(mine, facts.plain_items, open_items) for mine in people]

    async def _count_open(self, study: str) -> int:
        counted, count = self._open_items.get(study, (0.0, 0))
        if counted + _BELIEVED_SECONDS <= time.monotonic():
            # The next to ask takes the old count instead of counting at the same time.
            self._open_items[study] = (time.monotonic(), count if counted else COUNTED_REMAINING)
            count = await self._repository.read(
                lambda connection: places.open_items(connection, study, COUNTED_REMAINING)
            )
            self._open_items[study] = (time.monotonic(), count)
        return self._open_items[study][1]


def _gold_is_due(connection: sa.Connection, spec: StudySpec, annotator: str) -> bool:
    if not spec.human.gold:
        return False
    return tally(connection, spec.name, annotator, "human").verdicts % GOLD_EVERY == GOLD_EVERY // 2


def _undo(connection: sa.Connection, spec: StudySpec, annotator: str) -> Place:
    v = t.verdicts.c
    last = (
        sa.select(v.id, v.item, v.state, t.items.c.gold)
        .join(t.items, t.items.c.id == v.item)
        .where(v.study == spec.name, v.judge == annotator, v.kind == "human")
    )
    found = connection.execute(last.order_by(v.id.desc()).limit(1)).first()
    if found is None:
        raise FailedPrecondition(f"{annotator} has given no verdict that could be undone")
    skipped_gold = bool(found.state == State.SKIPPED and found.gold)
    removed = {found.item} if skipped_gold else ()
    remove_verdicts(connection, spec.name, v.id == found.id, skipped_gold=removed)
    held = places.held(connection, spec.name, annotator)
    if skipped_gold:
        # Its place went with the skipping; now that the verdict is gone, it is unseen again.
        place = places.take_gold(connection, spec, annotator, found.item)
    else:
        place = places.to_return(connection, found.item, found.state, annotator)
    if place is None:
        raise Conflict("the item has gone to somebody else", remedy="go on with the next item")
    if held is not None and held["id"] != place["id"]:
        places.give_up(connection, held)
    return places.renew(connection, spec, place, annotator)


def _check(text: str, seconds: float) -> None:
    if not 0 <= seconds <= MAX_SECONDS:
        raise InvalidInput("seconds", seconds, "must be from 0 to a week")
    if len(text) > MAX_TEXT:
        raise InvalidInput("reasoning", f"{len(text)} characters", f"must have at most {MAX_TEXT}")


def _record(connection: sa.Connection, study: str, verdict: Verdict, *, gold: bool = False) -> Tally:
    """Add a verdict. Raises Conflict where this person has given one on the same item."""
    skipped_gold = {verdict.item} if gold else ()
    added = add_verdicts(connection, study, [verdict_row(study, verdict)], skipped_gold=skipped_gold)
    if not added.verdicts:
        raise Conflict("this item has a verdict of the same person already", remedy="undo it to change it")
    return added.tallies[0]


def _progress_of(mine: Tally, plain_items: int, open_items: int) -> Progress:
    seen = mine.verdicts - mine.gold - mine.gold_skipped
    remaining = max(0, min(open_items, plain_items - seen))
    return Progress(mine.judge, mine.ok, mine.skipped, remaining, mine.gold_accuracy, mine.median_seconds)


def _same_again(connection: sa.Connection, verdict: Verdict) -> None:
    """Accept a repeated submission, as after a lost reply; refuse another verdict on the same item."""
    v = t.verdicts.c
    query = sa.select(v.preference, v.label).where(v.item == verdict.item, v.judge == verdict.judge, v.state == "ok")
    kept = connection.execute(query).first()
    if kept is None or (kept.preference, kept.label) != (verdict.preference, verdict.label):
        raise Conflict("this item has another verdict already", remedy="undo it to change it")


def _verdict(place: Place, annotator: str, state: State, text: str, seconds: float) -> Verdict:
    return Verdict(
        prompt_id=place["prompt_id"],
        systems=tuple(place["systems"]),
        judge=annotator,
        judge_kind="human",
        state=state,
        first_on_a=bool(place["first_on_a"]),
        sample=place["sample"],
        turn=place["turn"],
        reasoning=text,
        seconds=seconds,
        created=datetime.now(UTC),
        item=place["item"],
    )
