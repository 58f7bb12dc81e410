"""An LLM judge at work: asks what has not been asked, as fast as it is allowed to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from services.judging.asking import Answer, Ask, Inference, Question, ResolvedModel, asks_of, question, reminded
from services.judging.call_log import Call, CallLog
from services.judging.items import Item
from services.judging.replies import parse_reply
from services.judging.repository import StudyRepository, Usage
from services.judging.study import Judge, Limits, StudySpec, judged
from services.judging.verdicts import State, Verdict
from services.shared.errors import DeadlineExceeded, ResourceExhausted, Unavailable

_TRANSIENT = (Unavailable, DeadlineExceeded, ResourceExhausted)
# An endpoint that restarts, or a machine that is busy, is back within the half minute that these take.
_PATIENT_TRIES = 7
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
# So many failures in a row mean that the endpoint is down, not that single calls are unlucky.
_FAILURES_IN_A_ROW = 10
_LOOKED_UP_AT_ONCE = 200
# More than are looked up and under way at once.
_REMEMBERED = 2_000

Report = Callable[[int, int, dict[str, int]], Awaitable[None]]


class _First(NamedTuple):
    """The first question for a verdict, and its answer where that is in the cache."""

    ask: Ask
    question: Question
    kept: Answer | None


class LimitReached(Exception):
    """A limit of the study stops the run; what was asked is kept."""


@dataclass
class Budget:
    """Counts what a study used against its limits; shared by its judges."""

    limits: Limits
    used: Usage
    started: float

    def add(self, usage: Usage) -> None:
        self.used = replace(
            self.used,
            prompt_tokens=self.used.prompt_tokens + usage.prompt_tokens,
            completion_tokens=self.used.completion_tokens + usage.completion_tokens,
            cost_usd=self.used.cost_usd + usage.cost_usd,
        )

    def check(self) -> None:
        """Raise LimitReached before a call that a limit forbids."""
        limits, tokens = self.limits, self.used.prompt_tokens + self.used.completion_tokens
        if limits.max_cost_usd and self.used.cost_usd >= limits.max_cost_usd:
            raise LimitReached(f"the cost limit of {limits.max_cost_usd:g} USD is reached")
        if limits.max_tokens and tokens >= limits.max_tokens:
            raise LimitReached(f"the limit of {limits.max_tokens} tokens is reached")
        if limits.max_seconds and time.monotonic() - self.started >= limits.max_seconds:
            raise LimitReached(f"the time limit of {limits.max_seconds} seconds is reached")


class LlmJudge:
    """One judge of one study."""

    def __init__(
        self, spec: StudySpec, judge: Judge, inference: Inference, repository: StudyRepository, budget: Budget
    ) -> None:
        self._spec = spec
        self._judge = judge
        self._inference = inference
        self._repository = repository
        self._budget = budget
        self._failures_in_a_row = 0
        self._recent: dict[str, asyncio.Future[Answer]] = {}
        self.counts = {state.value: 0 for state in (State.OK, State.UNPARSABLE, State.FAILED)}

    async def run(self, items: list[Item], report: Report) -> None:
        """Ask everything that is owed. Raises LimitReached, and LimaError when the model cannot be asked."""
        asks = asks_of(self._spec, self._judge, items)
        self._draws = max((ask.draw for ask in asks), default=0) + 1
        judged = await self._repository.judged(self._spec.name, self._judge.name)
        owed = [ask for ask in asks if (ask.item.id, ask.first_on_a, ask.draw) not in judged]
        if not owed:
            await report(len(asks), len(asks), self.counts)
            return
        model = await self._inference.resolve(self._judge.model)
        await self._repository.forget_failures(self._spec.name, self._judge.name)
        done = len(asks) - len(owed)
        async with CallLog(self._repository, self._spec.name, self._judge.name) as log:
            stopped: list[LimitReached] = []
            todo, turn = self._first_questions(owed, model, log), asyncio.Lock()

            async def work() -> None:
                nonlocal done
                while True:
                    async with turn:
                        first = await anext(todo, None)
                    if first is None:
                        return
                    try:
                        await self._judge_one(first, log)
                    except LimitReached as reached:
                        # The others finish what they have asked: it is paid for.
                        stopped.append(reached)
                    if stopped:
                        return
                    done += 1
                    await report(done, len(asks), self.counts)

            await _all_or_first_error(work, min(self._judge.concurrency, len(owed)))
            if stopped:
                raise stopped[0]

    async def _first_questions(self, owed: list[Ask], model: ResolvedModel, log: CallLog) -> AsyncIterator[_First]:
        """What to ask first for each verdict; the cache is looked into for many of them at once."""
        for start in range(0, len(owed), _LOOKED_UP_AT_ONCE):
            asks = owed[start : start + _LOOKED_UP_AT_ONCE]
            questions = [question(self._spec, self._judge, model, ask, self._draws) for ask in asks]
            known = await log.known([asked.key for asked in questions])
            for ask, asked in zip(asks, questions, strict=True):
                yield _First(ask, asked, known.get(asked.key))

    async def _judge_one(self, first: _First, log: CallLog) -> None:
        """Get one verdict on disk, whatever its state."""
        rules = self._spec.rules
        ask, asked = first.ask, first.question
        started = time.monotonic()
        problem = ""
        for attempt in range(self._judge.max_attempts):
            try:
                kept = first.kept if attempt == 0 else (await log.known([asked.key])).get(asked.key)
                call = Call(asked, kept, cached=True) if kept is not None else await self._call_once(asked)
            except _TRANSIENT as error:
                await self._record_failure(ask, str(error), log)
                return
            if asked.continuations:
                verdict = self._of_logprobs(ask, call.answer)
                await self._record(log, call, verdict, time.monotonic() - started)
                return
            reply = parse_reply(call.answer.text, rules)
            if reply.choice is not None:
                verdict = self._verdict(ask, reply.choice, reply.reasoning)
                await self._record(log, call, verdict, time.monotonic() - started)
                return
            problem = f"{reply.problem} (after {attempt + 1} tries)\n\n{reply.reasoning}"
            if attempt + 1 < self._judge.max_attempts:
                await log.record_call(call)
                asked = reminded(asked, call.answer.text, rules)
        verdict = self._base(ask, State.UNPARSABLE, problem)
        await self._record(log, call, verdict, time.monotonic() - started)

    async def _call_once(self, asked: Question) -> Call:
        """The model's answer; a question that this run asked a moment ago, or asks right now, is not asked again.

        Two systems that gave the same answer make one question of the two orders.
        """
        under_way = self._recent.get(asked.key)
        if under_way is not None:
            return Call(asked, await asyncio.shield(under_way), cached=True)
        while len(self._recent) >= _REMEMBERED:
            self._recent.pop(next(iter(self._recent)))
        answered = self._recent[asked.key] = asyncio.get_running_loop().create_future()
        try:
            call = await self._call(asked)
        except BaseException as error:
            self._recent.pop(asked.key, None)
            answered.set_exception(error if isinstance(error, Exception) else Unavailable("the run was cancelled"))
            # Perhaps nobody waits for it.
            answered.exception()
            raise
        answered.set_result(call.answer)
        return call

    async def _call(self, asked: Question) -> Call:
        """The model's answer, with patience for transient errors."""
        for wait in _waits(max(self._judge.max_attempts, _PATIENT_TRIES)):
            self._budget.check()
            try:
                answer = await self._inference.ask(asked)
            except _TRANSIENT as error:
                if wait is None:
                    raise
                await asyncio.sleep(max(wait, error.retry_seconds or 0.0))
                continue
            self._failures_in_a_row = 0
            call = Call(asked, answer, cached=False)
            self._budget.add(call.usage)
            return call
        raise AssertionError("the last wait is None")

    async def _record(self, log: CallLog, call: Call, verdict: Verdict, seconds: float) -> None:
        self.counts[verdict.state.value] += 1
        await log.record(call, replace(verdict, seconds=seconds))

    async def _record_failure(self, ask: Ask, problem: str, log: CallLog) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW:
            raise Unavailable(
                f"{self._judge.model} failed {self._failures_in_a_row} times in a row, last with: {problem}",
                remedy="see that the model is served (lima models list), then run the study again: it continues",
            )
        self.counts[State.FAILED.value] += 1
        await log.record_verdict(self._base(ask, State.FAILED, problem))

    def _of_logprobs(self, ask: Ask, answer: Answer) -> Verdict:
        """The likeliest choice; the log-probabilities are kept as the reasoning."""
        choices = self._spec.rules.choices
        best = max(range(len(choices)), key=lambda index: answer.logprobs[index])
        shown = ", ".join(f"{choice} {value:.3f}" for choice, value in zip(choices, answer.logprobs, strict=True))
        return self._verdict(ask, choices[best], f"log-probabilities: {shown}")

    def _verdict(self, ask: Ask, choice: str, reasoning: str) -> Verdict:
        base = self._base(ask, State.OK, reasoning)
        return judged(self._spec, base, choice)

    def _base(self, ask: Ask, state: State, reasoning: str) -> Verdict:
        return Verdict(
            prompt_id=ask.item.prompt_id,
            systems=ask.item.systems,
            judge=self._judge.name,
            judge_kind="llm",
            state=state,
            first_on_a=ask.first_on_a,
            sample=ask.item.sample,
            turn=ask.item.turn,
            draw=ask.draw,
            reasoning=reasoning,
            created=datetime.now(UTC),
            item=ask.item.id,
        )


def _waits(attempts: int) -> Iterator[float | None]:
    """Seconds to wait after each try; None after the last."""
    for attempt in range(attempts - 1):
        yield min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
    yield None


async def _all_or_first_error(work: Callable[[], Awaitable[None]], workers: int) -> None:
    """Run the same coroutine many times; the first error cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
