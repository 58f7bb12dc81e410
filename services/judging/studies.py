"""What the service does with studies: make them, run their judges, count their verdicts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from services.judging.aggregates import load_columns
from services.judging.asking import Inference, orders_and_draws
from services.judging.items import Answer, Place, answers_of, empty_answers, make_items
from services.judging.kept_results import Computed, KeptResults
from services.judging.llm_judge import Budget, LimitReached, LlmJudge
from services.judging.repository import StoredStudy, StudyRepository
from services.judging.response_sets import read_responses
from services.judging.results import Results, compute
from services.judging.selection import check_selection, record_selection
from services.judging.study import StudySpec
from services.judging.tallies import Tally
from services.judging.warnings import warnings_of
from services.shared.errors import FailedPrecondition
from services.shared.objects import ObjectStore

MAX_ITEMS = 500_000
# What a run tells while it works: judge, verdicts had, verdicts owed, counts by state.
JudgeReport = Callable[[str, int, int, dict[str, int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JudgeProgress:
    """What a judge has said, and how much it will say; 0 where that is not known beforehand."""

    said: Tally
    total: int = 0


@dataclass
class Studies:
    """The application. Its methods raise services.shared errors and know no protobuf."""

    repository: StudyRepository
    store: ObjectStore
    inference: Inference
    _kept: KeptResults = field(init=False)

    def __post_init__(self) -> None:
        self._kept = KeptResults(self.repository, self._compute)

    async def close(self) -> None:
        """Stop what works behind callers' backs."""
        await self._kept.close()

    async def create(self, spec: StudySpec, request_id: str = "") -> StoredStudy:
        check_selection(spec)
        answers = await asyncio.to_thread(self._load, spec)
        items = await asyncio.to_thread(make_items, spec, answers)
        if len(items) > MAX_ITEMS:
            raise FailedPrecondition(
                f"the study has {len(items)} items; the most is {MAX_ITEMS}", remedy="split it by systems or prompts"
            )
        return await self.repository.create(spec, spec.digest(), items, dict(empty_answers(items)), request_id)

    def _load(self, spec: StudySpec) -> Mapping[str, Mapping[Place, Answer]]:
        return {
            system.name: answers_of(
                system.name,
                read_responses(self.store, system.responses_uri, f"spec.systems[{system.name}].responses_uri"),
                spec.protocol,
            )
            for system in spec.systems
        }

    async def run(self, name: str, report: JudgeReport) -> None:
        """Ask every LLM judge what it owes. A limit that is reached ends the run and is told in the state."""
        study = await self.repository.get(name)
        if not study.spec.judges:
            raise FailedPrecondition(
                f"study {name} has no LLM judge", remedy="people judge it through the console, or import verdicts"
            )
        items = await self.repository.items(name)
        budget = Budget(study.spec.limits, study.usage, time.monotonic())
        await self.repository.set_state(name, "running")
        try:
            for judge in study.spec.judges:

                async def tell(done: int, total: int, counts: dict[str, int], who: str = judge.name) -> None:
                    await report(who, done, total, counts)

                await LlmJudge(study.spec, judge, self.inference, self.repository, budget).run(items, tell)
        except LimitReached as reached:
            await self.repository.set_state(name, "open", f"stopped: {reached}; verdicts so far are kept")
        except asyncio.CancelledError:
            await self.repository.set_state(name, "open", "cancelled; verdicts so far are kept")
            raise
        except Exception as error:
            await self.repository.set_state(name, "failed", str(error))
            raise
        else:
            await self.repository.set_state(name, "done")
        results = await self.results(name)
        await asyncio.to_thread(record_selection, self.store, study.spec, results)

    async def progress(self, name: str) -> list[JudgeProgress]:
        """How far each judge is; judges that have not begun included."""
        study = await self.repository.get(name)
        tallied = {(each.judge, each.kind): each for each in await self.repository.tallies(name)}
        found = []
        for judge in study.spec.judges:
            orders, draws = orders_and_draws(study.spec, judge, study.sample_count)
            said = tallied.pop((judge.name, "llm"), Tally(judge.name, "llm"))
            found.append(JudgeProgress(said, study.item_count * orders * draws))
        return found + [JudgeProgress(said) for _, said in sorted(tallied.items())]

    async def results(self, name: str) -> Results:
        """The numbers of a study, over every verdict that there is."""
        return (await self.current(name)).results

    async def current(self, name: str) -> Computed:
        return await self._kept.current(await self.repository.get(name))

    async def latest(self, name: str) -> tuple[Computed, StoredStudy]:
        """The numbers as last computed, at once, and the study as it is now."""
        study = await self.repository.get(name)
        return await self._kept.latest(study), study

    async def _compute(self, study: StoredStudy) -> Results:
        columns = await load_columns(self.repository.database, study.spec)
        tallied = await self.repository.tallies(study.spec.name)
        gold = {each.judge: (each.gold_right, each.gold) for each in tallied if each.gold}

        def work() -> Results:
            results = compute(study.spec.name, columns, study.spec.rules, gold)
            results.warnings = warnings_of(results, study.empty_answers)
            return results

        return await asyncio.to_thread(work)
