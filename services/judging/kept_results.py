"""Results as they were last computed, so that a page never waits for a million verdicts to be counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from pydantic import TypeAdapter

from services.judging import tables as t
from services.judging.repository import StoredStudy, StudyRepository
from services.judging.results import Results
from services.judging.tallies import insert_new
from services.shared.errors import NotFound

# Up to so many verdicts are counted while the caller waits: that takes a fraction of a second.
COUNTED_AT_ONCE = 5_000
# After computing for a second, rest for so many before computing again: people annotate meanwhile.
_REST = 4.0
_KEPT_STUDIES = 32
_ADAPTER = TypeAdapter(Results)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Computed:
    """Results and what they cover.

    `changes` and `verdicts` are the study's, when the results were computed; `at` is in seconds since
    1970, 0 where nothing was computed yet; `seconds` is how long it took.
    """

    results: Results
    changes: int
    verdicts: int
    at: float
    seconds: float


class KeptResults:
    def __init__(self, repository: StudyRepository, compute: Callable[[StoredStudy], Awaitable[Results]]) -> None:
        self._repository = repository
        self._compute = compute
        self._kept: dict[tuple[str, float], Computed] = {}
        self._tasks: dict[str, asyncio.Task[Computed]] = {}

    async def current(self, study: StoredStudy) -> Computed:
        """Results that cover every verdict the study has now. Callers at the same time share the work."""
        while True:
            known = await self._known(study)
            if known is not None and known.changes >= study.changes:
                return known
            # One that began before the last verdict came is waited for and then done again.
            await asyncio.shield(self._begun(study))

    async def latest(self, study: StoredStudy) -> Computed:
        """What is known now; where verdicts came since, the rest of the work begins behind the caller's back."""
        if study.verdict_count <= COUNTED_AT_ONCE:
            return await self.current(study)
        known = await self._known(study)
        if known is None:
            self._begun(study)
            return Computed(Results(study.spec.name), 0, 0, 0.0, 0.0)
        if known.changes < study.changes and time.time() - known.at >= _REST * known.seconds:
            self._begun(study)
        return known

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _known(self, study: StoredStudy) -> Computed | None:
        key = (study.spec.name, study.created)
        if key not in self._kept:
            stored = await self._load(study.spec.name)
            if stored is not None:
                self._keep(key, stored)
        return self._kept.get(key)

    def _keep(self, key: tuple[str, float], computed: Computed) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= _KEPT_STUDIES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = computed

    def _begun(self, study: StoredStudy) -> asyncio.Task[Computed]:
        name = study.spec.name
        if name not in self._tasks:
            task = asyncio.create_task(self._work(study), name=f"results of {name}")
            task.add_done_callback(lambda done: self._ended(name, done))
            self._tasks[name] = task
        return self._tasks[name]

    def _ended(self, name: str, task: asyncio.Task[Computed]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("results could not be computed", study=name, error=str(error))

    async def _work(self, study: StoredStudy) -> Computed:
        begin = time.monotonic()
        results = await self._compute(study)
        computed = Computed(results, study.changes, study.verdict_count, time.time(), time.monotonic() - begin)
        self._keep((study.spec.name, study.created), computed)
        await self._store(study.spec.name, computed)
        return computed

    async def _load(self, study: str) -> Computed | None:
        async with self._repository.database.session() as session:
            row = (await session.execute(sa.select(t.results).where(t.results.c.study == study))).first()
        if row is None:
            return None
        return Computed(results_of(row.numbers), row.changes, row.verdicts, row.computed, row.seconds)

    async def _store(self, study: str, computed: Computed) -> None:
        values: dict[str, Any] = {
            "changes": computed.changes,
            "verdicts": computed.verdicts,
            "computed": computed.at,
            "seconds": computed.seconds,
            "numbers": text_of(computed.results),
        }

        def work(connection: sa.Connection) -> None:
            connection.execute(insert_new(connection, t.results), {"study": study, **values})
            connection.execute(t.results.update().where(t.results.c.study == study).values(values))

        try:
            await self._repository.write(work)
        except sa.exc.IntegrityError:
            raise NotFound("study", study, remedy="it was deleted while its results were computed") from None


def text_of(results: Results) -> str:
    """Results as text, NaN included."""
    return json.dumps(_ADAPTER.dump_python(results))


def results_of(text: str) -> Results:
    return _ADAPTER.validate_python(json.loads(text))
