"""All verdicts of a study at once, as the statistics want them."""

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
