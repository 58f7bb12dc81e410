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

from services.judging import aggregates, tables
from services.judging.__main__ import MIGRATIONS, NAME
from services.judging.assignments import Assignments
from services.judging.items import Answer, Item, make_items
from services.judging.protocols import Protocol
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


async def test_comparisons_are_read_as_they_were_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, those in another state counted beside them."""
    monkeypatch.setattr(aggregates, "PAGE", 5)
    spec = comparison("read", overlap=1)
    repository = StudyRepository(database)
    await repository.create(spec, spec.digest(), items_of(spec), {}, "")
    items = await repository.items("read")
    written = [
        Verdict(
            item.prompt_id, item.systems, "gpt", "llm", preference=(1.0, 0.5, 0.0, 0.25)[number % 4],
            first_on_a=first, draw=number % 2, item=item.id,
        )
        for number, item in enumerate(items)
        for first in (True, False)
    ]  # fmt: skip
    lost = [
        Verdict("p", items[0].systems, "silent", "llm", state=State.FAILED, item=items[0].id),
        Verdict("p", items[1].systems, "ann", "human", state=State.SKIPPED, item=items[1].id),
        Verdict("p", items[2].systems, "ann", "human", preference=1.0, item=items[2].id),
    ]
    await repository.add_verdicts("read", written + lost)
    columns = await aggregates.load_columns(database, spec)
    names = [columns.judge_names[code] for code in columns.judge]
    read = Counter(zip(names, columns.preference, columns.first_on_a, columns.draw, strict=True))
    expected = Counter((each.judge, each.preference, each.first_on_a, each.draw) for each in [*written, lost[2]])
    assert read == expected
    # Both orders of an item are one place.
    assert sorted(Counter(columns.place[columns.judge == columns.judge_names.index("gpt")]).values()) == [2] * PROMPTS
    pair = ("a", "b")
    assert columns.excluded == {(pair, "silent", "failed"): 1, (pair, "crowd", "skipped"): 1}
    assert set(columns.group_names) == {"gpt", "crowd", "silent"}


async def test_scores_are_read_as_they_were_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "PAGE", 5)
    spec = comparison("scored", overlap=1).model_copy(update={"protocol": Protocol.LIKERT})
    repository = StudyRepository(database)
    await repository.create(spec, spec.digest(), items_of(spec), {}, "")
    items = await repository.items("scored")
    written = [
        replace(
            Verdict(item.prompt_id, item.systems, "gpt", "llm", draw=draw, item=item.id),
            label=str(1 + (number + draw) % 6),
            scores=(float(1 + (number + draw) % 6),),
        )
        for number, item in enumerate(items)
        for draw in range(2)
    ]
    await repository.add_verdicts("scored", written)
    columns = await aggregates.load_columns(database, spec)
    systems = [columns.system_names[code] for code in columns.systems]
    read = Counter(zip(systems, columns.score, columns.label, columns.draw, strict=True))
    assert read == Counter((each.systems, each.scores[0], int(each.label) - 1, each.draw) for each in written)
    assert not columns.excluded


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
