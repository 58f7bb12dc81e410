"""Questions to the database about all verdicts of a study at once."""

from __future__ import annotations

import sqlalchemy as sa

from services.judging import tables as t
from services.judging.columns import VerdictRow
from services.judging.protocols import Protocol
from services.judging.study import StudySpec
from services.shared.database import Database

# The tag of sensitive prompts that ask for harm, as against those that touch a delicate matter.
MALICIOUS = "malicious"


async def verdict_rows(database: Database, spec: StudySpec) -> list[VerdictRow]:
    """What the statistics need of all verdicts on items that are not gold."""
    v, i = t.verdicts.c, t.items.c
    query = (
        sa.select(
            i.prompt_id, i.sample, i.turn, i.systems, v.judge, v.kind, v.state, v.preference, v.label, v.scores,
            v.first_on_a, v.draw, i.source, i.tags, i.length_difference,
        )
        .join(t.items, i.id == v.item)
        .where(v.study == spec.name, i.gold == "")
        .order_by(v.id)
    )  # fmt: skip
    async with database.session() as session:
        found = await session.execute(query)
        return [
            VerdictRow(
                row.prompt_id,
                (row.sample, row.turn),
                tuple(row.systems),
                row.judge,
                row.kind,
                spec.human.group(row.judge) if row.kind == "human" else row.judge,
                row.state,
                row.preference,
                row.label,
                row.scores[0] if len(row.scores) == 1 else None,
                bool(row.first_on_a),
                row.draw,
                _part(spec, row.source, row.tags),
                row.length_difference,
            )
            for row in found
        ]


def _part(spec: StudySpec, source: str, tags: list[str]) -> str:
    """What results are broken down by: the prompt's source, or for safety whether harm was asked for."""
    if spec.protocol is not Protocol.SAFETY:
        return source
    return "malicious intent" if MALICIOUS in tags else "no malicious intent"


async def stamp(database: Database, study: str) -> tuple[int, int]:
    """Changes whenever a verdict is added or taken back."""
    v = t.verdicts.c
    query = sa.select(sa.func.coalesce(sa.func.max(v.id), 0), sa.func.count()).where(v.study == study)
    async with database.session() as session:
        last, count = (await session.execute(query)).one()
        return int(last), int(count)


async def gold(database: Database, study: str) -> dict[str, tuple[int, int]]:
    """For each annotator the gold items answered rightly, and all answered."""
    v = t.verdicts.c
    right = sa.func.sum(sa.case((v.gold_correct.is_(True), 1), else_=0))
    query = (
        sa.select(v.judge, right, sa.func.count())
        .where(v.study == study, v.gold_correct.is_not(None))
        .group_by(v.judge)
    )
    async with database.session() as session:
        return {judge: (int(correct), count) for judge, correct, count in await session.execute(query)}


async def by_judge(database: Database, study: str) -> dict[tuple[str, str], dict[str, int]]:
    """For each (judge, kind) how many verdicts are in each state."""
    v = t.verdicts.c
    query = sa.select(v.judge, v.kind, v.state, sa.func.count()).where(v.study == study)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    async with database.session() as session:
        for judge, kind, state, count in await session.execute(query.group_by(v.judge, v.kind, v.state)):
            counts.setdefault((judge, kind), {})[state] = count
    return counts


async def samples(database: Database, study: str) -> int:
    """Answers per prompt and system."""
    query = sa.select(sa.func.count(t.items.c.sample.distinct())).where(t.items.c.study == study)
    async with database.session() as session:
        return int((await session.execute(query)).scalar_one()) or 1
