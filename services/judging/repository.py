"""Studies, items and verdicts in the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.judging import tables as t
from services.judging.items import Item
from services.judging.one_piece import OnePiece
from services.judging.rows import item_row, to_item, to_verdict, verdict_row
from services.judging.study import StudySpec
from services.judging.tallies import Tally, add_verdicts, remove_verdicts, tallies
from services.judging.verdicts import Verdict
from services.shared.database import Database
from services.shared.errors import AlreadyExists, NotFound

_K = TypeVar("_K")
_V = TypeVar("_V")
_BATCH = 500
_KEPT_SPECS = 100
_KEPT_ITEMS = 2_000
# For so long a process believes that a study is still there.
_BELIEVED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What LLM judges used; `cached_calls` of `calls` were answered from the cache."""

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredStudy:
    spec: StudySpec
    digest: str
    state: str
    state_message: str
    item_count: int
    gold_count: int
    sample_count: int
    verdict_count: int
    # Grows with every verdict that is added or taken back, and with every split that is confirmed.
    changes: int
    empty_answers: dict[str, int]
    created: float
    usage: Usage
    # How its prompts were split, in words; empty where nobody has split them.
    split: str = ""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What never changes about a study; `plain_items` are those that are not gold."""

    spec: StudySpec
    created: float
    plain_items: int


class StudyRepository:
    def __init__(self, database: Database) -> None:
        self.database = database
        self._pieces = OnePiece(database)
        self._facts: dict[str, tuple[StudyFacts, float]] = {}
        self._items: dict[tuple[str, float, str], Item] = {}

    async def write(self, work: Callable[[sa.Connection], _V]) -> _V:
        """Run a function as one short transaction: see `one_piece`."""
        return await self._pieces.write(work)

    async def read(self, work: Callable[[sa.Connection], _V]) -> _V:
        async with self.database.session() as session:
            return await (await session.connection()).run_sync(work)

    async def close(self) -> None:
        await self._pieces.close()

    async def create(
        self, spec: StudySpec, digest: str, items: Sequence[Item], empty: dict[str, int], request_id: str
    ) -> StoredStudy:
        """Write a study with its items and slots, whole; the same study again is the one that is there."""
        try:
            async with self.database.transaction() as session:
                await session.execute(
                    t.studies.insert(),
                    {
                        "name": spec.name,
                        "spec": spec.model_dump(mode="json"),
                        "digest": digest,
                        "request_id": request_id,
                        "state": "open",
                        "item_count": len(items),
                        "gold_count": sum(item.prompt_id in spec.human.gold for item in items),
                        "sample_count": len({item.sample for item in items}) or 1,
                        "empty_answers": empty,
                        "created": time.time(),
                    },
                )
                rows = [item_row(spec.name, position, item, spec) for position, item in enumerate(items)]
                for start in range(0, len(rows), _BATCH):
                    await session.execute(t.items.insert(), rows[start : start + _BATCH])
                slots = [
                    {
                        "study": spec.name,
                        "item": row["id"],
                        "state": "open",
                        "first_on_a": row["first_on_a"] == (number % 2 == 0),
                    }
                    for row in rows
                    if not row["gold"]
                    for number in range(spec.human.overlap)
                ]
                for start in range(0, len(slots), _BATCH):
                    await session.execute(t.slots.insert(), slots[start : start + _BATCH])
        except sa.exc.IntegrityError:
            existing = await self.get(spec.name)
            if existing.digest != digest:
                raise AlreadyExists(
                    "study", spec.name, remedy="give the study another name, or delete the one that is there"
                ) from None
            return existing
        return await self.get(spec.name)

    async def get(self, name: str) -> StoredStudy:
        async with self.database.session() as session:
            row = (await session.execute(sa.select(t.studies).where(t.studies.c.name == name))).mappings().first()
            if row is None:
                raise NotFound("study", name, remedy="see the studies there are: lima studies list")
            return (await self._complete(session, [row]))[0]

    async def spec(self, name: str) -> StudySpec:
        return (await self.facts(name)).spec

    async def facts(self, name: str) -> StudyFacts:
        """What never changes about a study, asked of the database once a second. Raises NotFound."""
        facts, asked = self._facts.get(name, (None, 0.0))
        if facts is None or asked + _BELIEVED_SECONDS <= time.monotonic():
            created = await self._created(name)
            if facts is None or facts.created != created:
                study = await self.get(name)
                facts = StudyFacts(study.spec, study.created, study.item_count - study.gold_count)
            _keep(self._facts, name, (facts, time.monotonic()), _KEPT_SPECS)
        return facts

    async def _created(self, name: str) -> float | None:
        """When the study that now has the name was made."""
        async with self.database.session() as session:
            query = sa.select(t.studies.c.created).where(t.studies.c.name == name)
            return (await session.execute(query)).scalar()

    async def item(self, study: str, identifier: str) -> Item:
        """One item; items never change, and people are given the same ones again and again."""
        key = (study, (await self.facts(study)).created, identifier)
        if key not in self._items:
            found = await self.items(study, [identifier])
            if not found:
                raise NotFound("study", study, remedy="it was deleted while it was annotated")
            _keep(self._items, key, found[0], _KEPT_ITEMS)
        return self._items[key]

    async def page(self, after: str, limit: int) -> list[StoredStudy]:
        """Studies in the order of their names."""
        query = sa.select(t.studies).where(t.studies.c.name > after).order_by(t.studies.c.name).limit(limit)
        async with self.database.session() as session:
            rows = (await session.execute(query)).mappings().all()
            return await self._complete(session, rows)

    async def _complete(self, session: AsyncSession, rows: Sequence[Any]) -> list[StoredStudy]:
        names = [row["name"] for row in rows]
        counts = {row.study: row for row in await session.execute(_counts_query(names))}
        splits = sa.select(t.splits).where(t.splits.c.study.in_(names))
        split = {row.study: row for row in await session.execute(splits)}
        usage = {row.study: row for row in await session.execute(_usage_query(names))}
        return [
            StoredStudy(
                spec=StudySpec.model_validate(row["spec"]),
                digest=row["digest"],
                state=row["state"],
                state_message=row["state_message"],
                item_count=row["item_count"],
                gold_count=row["gold_count"],
                sample_count=row["sample_count"],
                verdict_count=counts[row["name"]].verdicts if row["name"] in counts else 0,
                changes=(counts[row["name"]].changes if row["name"] in counts else 0)
                + (split[row["name"]].changes if row["name"] in split else 0),
                split=_told(split[row["name"]]) if row["name"] in split else "",
                empty_answers=dict(row["empty_answers"]),
                created=row["created"],
                usage=Usage(*usage[row["name"]][1:]) if row["name"] in usage else Usage(),
            )
            for row in rows
        ]

    async def tallies(self, study: str) -> list[Tally]:
        """What each judge has said, counted."""
        return await self.read(lambda connection: tallies(connection, study))

    async def set_state(self, name: str, state: str, message: str = "") -> None:
        async with self.database.transaction() as session:
            await session.execute(
                t.studies.update().where(t.studies.c.name == name).values(state=state, state_message=message)
            )

    async def delete(self, name: str) -> None:
        """Delete a study with all that hangs on it; open leases end with it."""
        async with self.database.transaction() as session:
            for table in (t.slots, t.verdicts, t.tallies, t.results, t.splits, t.ledger, t.items):
                await session.execute(table.delete().where(table.c.study == name))
            await session.execute(t.studies.delete().where(t.studies.c.name == name))
        self._facts.pop(name, None)

    async def items(self, study: str, ids: Iterable[str] | None = None) -> list[Item]:
        query = sa.select(t.items).where(t.items.c.study == study).order_by(t.items.c.position)
        if ids is not None:
            query = query.where(t.items.c.id.in_(list(ids)))
        async with self.database.session() as session:
            return [to_item(dict(row)) for row in (await session.execute(query)).mappings()]

    async def judged(self, study: str, judge: str) -> set[tuple[str, bool, int]]:
        """(item, order, draw) of every verdict that a judge gave; failed calls are not verdicts."""
        v = t.verdicts.c
        query = sa.select(v.item, v.first_on_a, v.draw).where(v.study == study, v.judge == judge, v.state != "failed")
        async with self.database.session() as session:
            return {(item, bool(order), draw) for item, order, draw in await session.execute(query)}

    async def forget_failures(self, study: str, judge: str) -> None:
        """Make room for another try of the calls that failed."""
        v = t.verdicts.c
        failed = (v.judge == judge) & (v.state == "failed")
        await self.write(lambda connection: remove_verdicts(connection, study, failed))

    async def add_verdicts(self, study: str, verdicts: Sequence[Verdict]) -> int:
        """Add verdicts that are not there yet; returns how many were new."""
        rows = [verdict_row(study, verdict) for verdict in verdicts]
        return (await self.write(lambda connection: add_verdicts(connection, study, rows))).verdicts

    async def verdicts(
        self, study: str, *, judge: str = "", state: str = "", after: int = 0, limit: int = 1_000_000
    ) -> list[Verdict]:
        """Verdicts in the order they were given."""
        query = _joined().where(t.verdicts.c.study == study, t.verdicts.c.id > after)
        if judge:
            query = query.where(t.verdicts.c.judge == judge)
        if state:
            query = query.where(t.verdicts.c.state == state)
        async with self.database.session() as session:
            rows = await session.execute(query.order_by(t.verdicts.c.id).limit(limit))
            return [to_verdict(dict(row)) for row in rows.mappings()]


def _keep(kept: dict[_K, _V], key: _K, value: _V, limit: int) -> None:
    """Remember a value, and forget the oldest beyond the limit."""
    kept.pop(key, None)
    while len(kept) >= limit:
        kept.pop(next(iter(kept)))
    kept[key] = value


def _told(split: Any) -> str:
    return (
        f"{split.confirmed_by or 'somebody'} found {len(split.out_of_distribution)} prompts to be out of distribution, "
        f"beginning from those whose nearest training example in {split.dataset_uri} is less similar than "
        f"{split.threshold:g} ({split.method})."
    )


def _joined() -> sa.Select[Any]:
    i = t.items.c
    return sa.select(t.verdicts, i.prompt_id, i.systems, i.sample, i.turn).join(t.items, i.id == t.verdicts.c.item)


def _usage_query(studies: Sequence[str]) -> sa.Select[Any]:
    c = t.ledger.c
    sums = [
        sa.func.sum(column)
        for column in (c.calls, c.cached_calls, c.prompt_tokens, c.completion_tokens, c.cost_usd, c.seconds)
    ]
    return sa.select(c.study, *sums).where(c.study.in_(studies)).group_by(c.study)


def _counts_query(studies: Sequence[str]) -> sa.Select[Any]:
    c = t.tallies.c
    verdicts = sa.func.sum(c.ok + c.unparsable + c.failed + c.skipped).label("verdicts")
    changes = sa.func.sum(c.changes).label("changes")
    return sa.select(c.study, verdicts, changes).where(c.study.in_(studies)).group_by(c.study)
