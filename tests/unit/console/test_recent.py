from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from services.console.recent import Recent


async def test_many_who_come_at_once_ask_once() -> None:
    asked = []

    async def ask() -> int:
        asked.append(True)
        await asyncio.sleep(0.01)
        return len(asked)

    recent = Recent(ask, seconds=60)
    assert await asyncio.gather(*(recent.get() for _ in range(5))) == [1] * 5
    assert recent.last == 1
    recent.forget()
    assert recent.last is None
    assert await recent.get() == 2


async def test_an_old_answer_is_asked_for_again() -> None:
    answers = iter(range(9))

    async def ask() -> int:
        return next(answers)

    recent = Recent(ask, seconds=-1)
    assert [await recent.get(), await recent.get()] == [0, 1]


async def test_a_failure_is_not_kept() -> None:
    answers: Iterator[ValueError | int] = iter([ValueError("away"), 7])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    recent = Recent(ask, seconds=60)
    with pytest.raises(ValueError, match="away"):
        await recent.get()
    assert await recent.get() == 7


async def test_an_overdue_answer_is_given_while_the_next_one_is_asked_for() -> None:
    asked, go = [], asyncio.Event()

    async def ask() -> int:
        asked.append(True)
        if len(asked) > 1:
            await go.wait()
        return len(asked)

    recent = Recent(ask, seconds=0, overdue=60)
    assert await recent.get() == 1
    assert [await recent.get(), await recent.get()] == [1, 1]
    await asyncio.sleep(0.01)
    assert len(asked) == 2, "asked for once, behind both"
    go.set()
    await asyncio.sleep(0.01)
    assert recent.last == 2


async def test_a_failure_behind_is_told_to_who_has_to_wait() -> None:
    answers: Iterator[ValueError | int] = iter([1, ValueError("away"), ValueError("still away")])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    recent = Recent(ask, seconds=0, overdue=60)
    assert [await recent.get(), await recent.get()] == [1, 1]
    await asyncio.sleep(0.01)
    recent.forget()
    with pytest.raises(ValueError, match="still away"):
        await recent.get()
