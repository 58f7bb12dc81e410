"""The tables on both databases: as declared, and under many hands at once."""

from __future__ import annotations

import asyncio
import importlib.util
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from services.judging import tables
from services.judging.__main__ import MIGRATIONS, NAME
from services.judging.assignments import Assignments
from services.judging.items import Answer, Item, make_items
from services.judging.repository import StudyRepository
from services.judging.study import StudySpec
from services.judging.tables import metadata
from services.judging.verdicts import State, Verdict
from services.shared.database import Database
from services.shared.errors import NotFound
from services.shared.records import Turn
from services.shared.settings import Settings

PEOPLE, PROMPTS, OVERLAP = 8, 12, 3


@pytest.fixture
async def database(database_settings: Settings) -> AsyncIterator[Database]:
    database = Database.open(database_settings, NAME, MIGRATIONS)
    await database.migrate()
    yield database
    await database.close()


async def test_the_migrations_make_the_declared_tables(database: Database) -> None:
    assert await database.differences(metadata) == []


def comparison(name: str, overlap: int) -> StudySpec:
    return StudySpec.parse(
        {
            "name": name,
            "protocol": "pairwise",
            "systems": [{"name": name, "responses_uri": f"s3://b/{name}"} for name in ("a", "b")],
            "human": {"overlap": overlap},
        }
    )


def items_of(spec: StudySpec) -> list[Item]:
    prompt = (Turn(role="user", content="ask"),)
    places = {(f"p{n}", 0, 0): Answer(prompt, (Turn(role="assistant", content="x"),), "", ()) for n in range(PROMPTS)}
    return make_items(spec, {"a": places, "b": places})


async def test_many_people_at_once_never_get_one_place_twice(database: Database) -> None:
    spec = comparison("crowded", overlap=OVERLAP)
    repository = StudyRepository(database)
    await repository.create(spec, spec.digest(), items_of(spec), {}, "")
    assignments = Assignments(repository)

    async def work(annotator: str) -> list[str]:
        seen: list[str] = []
        while True:
            try:
                assignment = await assignments.assign(spec, annotator)
            except NotFound:
                return seen
            seen.append(assignment.item.id)
            await assignments.submit(spec, assignment.item.id, assignment.lease, annotator, "A", "", 1.0)

    seen = await asyncio.gather(*(work(f"person-{number}") for number in range(PEOPLE)))
    assert all(len(set(items)) == len(items) for items in seen)
    counts = Counter(item for items in seen for item in items)
    assert set(counts.values()) == {OVERLAP}
    assert len(counts) == PROMPTS
    stored = await repository.get("crowded")
    assert stored.verdict_count == PROMPTS * OVERLAP
    await repository.delete("crowded")
    with pytest.raises(NotFound):
        await repository.get("crowded")


async def test_the_counts_begin_with_the_verdicts_of_an_earlier_version(database: Database) -> None:
    spec = comparison("earlier", overlap=1)
    repository = StudyRepository(database)
    await repository.create(spec, spec.digest(), items_of(spec), {}, "")
    (first, second, *_) = await repository.items("earlier")
    kept = [
        Verdict("p", first.systems, "ann", "human", gold_correct=True, item=first.id),
        Verdict("p", second.systems, "ann", "human", state=State.SKIPPED, item=second.id),
        Verdict("p", first.systems, "gpt", "llm", state=State.UNPARSABLE, item=first.id),
        Verdict("p", second.systems, "gpt", "llm", item=second.id),
    ]
    assert await repository.add_verdicts("earlier", kept) == 4
    counted = await repository.tallies("earlier")
    async with database.transaction() as session:
        await session.execute(tables.tallies.delete())
        await session.run_sync(lambda sync: _fill(sync.connection()))
    recounted = await repository.tallies("earlier")
    assert [replace(each, recent_seconds=[]) for each in counted] == recounted
    assert [(each.judge, each.verdicts, each.gold_right) for each in recounted] == [("ann", 2, 1), ("gpt", 2, 0)]


def _fill(connection: sa.Connection) -> None:
    """The part of the second migration that counts."""
    path = MIGRATIONS / "judging_0002.py"
    found = importlib.util.spec_from_file_location("judging_0002", path)
    assert found is not None
    assert found.loader is not None
    migration = importlib.util.module_from_spec(found)
    found.loader.exec_module(migration)
    with Operations.context(MigrationContext.configure(connection)):
        migration._count_what_is_there()
