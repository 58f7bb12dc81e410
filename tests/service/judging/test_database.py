"""The tables on both databases: as declared, and under many hands at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.judging.__main__ import MIGRATIONS, NAME
from services.judging.assignments import Assignments
from services.judging.items import Answer, make_items
from services.judging.repository import StudyRepository
from services.judging.study import StudySpec
from services.judging.tables import metadata
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


async def test_many_people_at_once_never_get_one_place_twice(database: Database) -> None:
    spec = StudySpec.parse(
        {
            "name": "crowded",
            "protocol": "pairwise",
            "systems": [{"name": name, "responses_uri": f"s3://b/{name}"} for name in ("a", "b")],
            "human": {"overlap": OVERLAP},
        }
    )
    prompt = (Turn(role="user", content="ask"),)
    places = {(f"p{n}", 0, 0): Answer(prompt, (Turn(role="assistant", content="x"),), "", ()) for n in range(PROMPTS)}
    repository = StudyRepository(database)
    await repository.create(spec, spec.digest(), make_items(spec, {"a": places, "b": places}), {}, "")
    assignments = Assignments(repository)

    async def work(annotator: str) -> list[str]:
        seen = []
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
