"""All verdicts of a study at once, as the statistics want them.

The database puts together what belongs together and hands over a few long lists: making a million rows of
it would take longer than all the statistics.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.judging import tables as t
from services.judging.columns import Columns, ColumnsBuilder, ItemGroup, VerdictGroup
from services.judging.protocols import Protocol
from services.judging.study import StudySpec
from services.shared.database import Database

# The tag of sensitive prompts that ask for harm, as against those that touch a delicate matter.
MALICIOUS = "malicious"
# Verdicts read at once: others have their turn between two pages.
PAGE = 20_000


async def load_columns(database: Database, spec: StudySpec) -> Columns:
    """The verdicts on items that are not gold."""
    async with database.session() as session:
        split = sa.select(t.splits.c.out_of_distribution).where(t.splits.c.study == spec.name)
        builder = ColumnsBuilder(
            lambda judge, kind: spec.human.group(judge) if kind == "human" else judge,
            () if spec.rules.pairwise else spec.rules.choices,
            (await session.execute(split)).scalar(),
        )
        await _add_items(session, spec, builder)
        after = 0
        while (last := await _add_page(session, spec, builder, after)) is not None:
            after = last
        await _add_excluded(session, spec, builder)
    return builder.columns()


async def _add_items(session: AsyncSession, spec: StudySpec, builder: ColumnsBuilder) -> None:
    i = t.items.c
    shared = (sa.cast(i.systems, sa.Text), i.source, sa.cast(i.tags, sa.Text))
    query = sa.select(*shared, *(_listed(session, column) for column in (i.id, i.prompt_id, i.length_difference)))
    for systems, source, tags, *lists in await session.execute(
        query.where(i.study == spec.name, i.gold == "").group_by(*shared).order_by(*shared)
    ):
        part = _part(spec, source, json.loads(tags))
        builder.add_items(ItemGroup(tuple(json.loads(systems)), part, *map(json.loads, lists)))


async def _add_page(session: AsyncSession, spec: StudySpec, builder: ColumnsBuilder, after: int) -> int | None:
    """Add the verdicts in state OK that follow `after`; the number of the last of them."""
    v, pairwise = t.verdicts.c, spec.rules.pairwise
    # Only what the protocol can tell apart: each further column of the grouping takes a tenth of the time.
    shared = (v.judge, v.kind, v.draw, *((v.first_on_a,) if pairwise else (v.label, v.scores)))
    wanted = sa.select(v.id, *shared, v.item, v.preference).where(v.study == spec.name, v.state == "ok", v.id > after)
    p = wanted.order_by(v.id).limit(PAGE).subquery().c
    alike = [sa.cast(p.scores, sa.Text) if column is v.scores else p[column.name] for column in shared]
    query = sa.select(sa.func.max(p.id), *alike, _listed(session, p.item), _listed(session, p.preference))
    last = None
    for number, judge, kind, draw, *own, items, preferences in await session.execute(query.group_by(*alike)):
        last = max(last or 0, number)
        label, score, first_on_a = ("", None, bool(own[0])) if pairwise else (own[0], _score(own[1]), True)
        listed = json.loads(items), json.loads(preferences)
        builder.add_verdicts(VerdictGroup(judge, kind, label, score, first_on_a, draw, *listed))
    return last


async def _add_excluded(session: AsyncSession, spec: StudySpec, builder: ColumnsBuilder) -> None:
    """Count the verdicts that are in another state than OK, if there are any."""
    c, i, v = t.tallies.c, t.items.c, t.verdicts.c
    lost = sa.func.sum(c.unparsable + c.failed + c.skipped)
    if not (await session.execute(sa.select(lost).where(c.study == spec.name))).scalar():
        return
    alike = (sa.cast(i.systems, sa.Text), v.judge, v.kind, v.state)
    query = sa.select(*alike, sa.func.count()).join_from(t.verdicts, t.items, i.id == v.item)
    query = query.where(v.study == spec.name, v.state != "ok", i.gold == "").group_by(*alike).order_by(*alike)
    for systems, judge, kind, state, count in await session.execute(query):
        builder.add_excluded(tuple(json.loads(systems)), judge, kind, state, count)


def _listed(session: AsyncSession, column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """All values of a column as the text of a JSON array, in the same order as those of another column."""
    name = "json_agg" if session.get_bind().dialect.name == "postgresql" else "json_group_array"
    return sa.cast(getattr(sa.func, name)(column), sa.Text)


def _part(spec: StudySpec, source: str, tags: list[str]) -> str:
    """What results are broken down by: the prompt's source, or for safety whether harm was asked for."""
    if spec.protocol is not Protocol.SAFETY:
        return source
    return "malicious intent" if MALICIOUS in tags else "no malicious intent"


def _score(scores: str) -> float | None:
    """The score of a single answer."""
    values = json.loads(scores)
    return float(values[0]) if len(values) == 1 else None
