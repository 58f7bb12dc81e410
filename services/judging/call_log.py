"""Calls to models: answers kept by content, verdicts and the ledger, written together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from services.judging import tables as t
from services.judging.asking import Answer, Question
from services.judging.repository import StudyRepository, Usage
from services.judging.rows import verdict_row
from services.judging.tallies import add_verdicts, insert_new
from services.judging.verdicts import Verdict
from services.shared.errors import NotFound

_LEDGER_COLUMNS = ("calls", "cached_calls", "prompt_tokens", "completion_tokens", "cost_usd", "seconds")
# Made once: to make a statement takes longer than to run it.
_OF_LEDGER = t.ledger.c
_ADD_USAGE = (
    t.ledger.update()
    .where(_OF_LEDGER.study == sa.bindparam("of"), _OF_LEDGER.judge == sa.bindparam("by"))
    .values({name: _OF_LEDGER[name] + sa.bindparam(f"{name}_by") for name in _LEDGER_COLUMNS})
)


@dataclass(frozen=True, slots=True)
class Call:
    """One question with its answer; cached answers cost nothing and are not written again."""

    question: Question
    answer: Answer
    cached: bool

    @property
    def usage(self) -> Usage:
        answer = self.answer
        if self.cached:
            return Usage(calls=1, cached_calls=1)
        return Usage(1, 0, answer.prompt_tokens, answer.completion_tokens, answer.cost_usd, answer.seconds)


@dataclass(frozen=True, slots=True)
class _Entry:
    call: Call | None
    verdict: Verdict | None
    written: asyncio.Future[None]


class CallLog:
    """Writes of one run. Entries that arrive together share a transaction, so that many concurrent
    calls do not wait for the disk one after the other; each is on disk before it counts."""

    def __init__(self, repository: StudyRepository, study: str, judge: str) -> None:
        self._repository = repository
        self._study = study
        self._judge = judge
        # None asks the writer to end.
        self._queue: asyncio.Queue[_Entry | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> CallLog:
        self._writer = asyncio.create_task(self._write_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        # What was handed over is written before the run ends, whatever ended it.
        assert self._writer is not None
        self._queue.put_nowait(None)
        await asyncio.shield(self._writer)

    async def known(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers that are kept, by the key of their question."""
        c = t.calls.c
        query = sa.select(c.key, c.reply, c.logprobs).where(c.key.in_(keys))
        rows = await self._repository.read(lambda connection: connection.execute(query).all())
        return {row.key: Answer(text=row.reply, logprobs=tuple(row.logprobs)) for row in rows}

    async def record_call(self, call: Call) -> None:
        """Keep an answer; returns when it is on disk."""
        await self._record(call, None)

    async def record_verdict(self, verdict: Verdict) -> None:
        await self._record(None, verdict)

    async def record(self, call: Call, verdict: Verdict) -> None:
        await self._record(call, verdict)

    async def _record(self, call: Call | None, verdict: Verdict | None) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Entry(call, verdict, written))
        await written

    async def _write_forever(self) -> None:
        ended = False
        while not ended:
            found = [await self._queue.get()]
            while not self._queue.empty():
                found.append(self._queue.get_nowait())
            ended = None in found
            entries = [entry for entry in found if entry is not None]
            if not entries:
                continue
            failure: Exception | None = None
            try:
                await self._write(entries)
            except sa.exc.IntegrityError:
                # Equal keys are passed over, so only the study itself can be missing.
                failure = NotFound("study", self._study, remedy="it was deleted while it was judged")
            except Exception as error:
                failure = error
            for entry in entries:
                if entry.written.done():
                    continue
                if failure is None:
                    entry.written.set_result(None)
                else:
                    entry.written.set_exception(failure)

    async def _write(self, entries: Sequence[_Entry]) -> None:
        calls = [entry.call for entry in entries if entry.call]
        fresh = {call.question.key: _call_row(call) for call in calls if not call.cached}
        last = {entry.verdict: entry.call for entry in entries if entry.verdict}
        rows = [verdict_row(self._study, verdict, call.question.key if call else "") for verdict, call in last.items()]
        usages = [call.usage for call in calls]
        used = {f"{name}_by": sum(getattr(usage, name) for usage in usages) for name in _LEDGER_COLUMNS}
        mine = {"of": self._study, "by": self._judge}

        def work(connection: sa.Connection) -> None:
            if fresh:
                connection.execute(insert_new(connection, t.calls), list(fresh.values()))
            if rows:
                add_verdicts(connection, self._study, rows)
            if calls and not connection.execute(_ADD_USAGE, mine | used).rowcount:
                # Another run of the study may make the row at the same time.
                connection.execute(insert_new(connection, t.ledger), {"study": self._study, "judge": self._judge})
                connection.execute(_ADD_USAGE, mine | used)

        await self._repository.write(work)


def _call_row(call: Call) -> dict[str, Any]:
    answer = call.answer
    return {
        "key": call.question.key,
        "model": call.question.model,
        "reply": answer.text,
        "logprobs": list(answer.logprobs),
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost_usd": answer.cost_usd,
        "seconds": answer.seconds,
        "created": time.time(),
    }
