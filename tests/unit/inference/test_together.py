"""Calls at once share one piece of work, and none is lost by another's failure or cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.inference.together import MOST, Together


class Doubling:
    """Work that waits until it is let go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(numbers))
        await self.go.wait()
        if 13 in numbers:
            raise ValueError("13")
        return [2 * number for number in numbers]


async def test_those_that_come_meanwhile_are_the_next_batch() -> None:
    work = Doubling()
    twice = Together(work)
    calls = [asyncio.create_task(twice(99))]
    await asyncio.sleep(0.01)
    assert work.batches == [[99]], "the first waits for nobody"
    calls += [asyncio.create_task(twice(100 + number)) for number in range(MOST + 1)]
    await asyncio.sleep(0.01)
    work.go.set()
    assert await asyncio.gather(*calls) == [2 * number for number in range(99, 100 + MOST + 1)]
    assert work.batches == [[99], list(range(100, 100 + MOST)), [100 + MOST]]
    assert await twice(5) == 10, "it works again after a rest"


async def test_a_failure_is_told_to_its_batch_only() -> None:
    work = Doubling()
    twice = Together(work)
    first = asyncio.create_task(twice(1))
    await asyncio.sleep(0.01)
    failing = [asyncio.create_task(twice(number)) for number in (13, 2)]
    await asyncio.sleep(0.01)
    work.go.set()
    assert await first == 2
    assert [str(error) for error in await asyncio.gather(*failing, return_exceptions=True)] == ["13", "13"]
    assert await twice(3) == 6


async def test_a_caller_that_leaves_leaves_its_thing() -> None:
    work = Doubling()
    twice = Together(work)
    calls = [asyncio.create_task(twice(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0.01)
    calls[1].cancel()
    work.go.set()
    assert [await calls[0], await calls[2]] == [2, 6]
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    assert [number for batch in work.batches for number in batch] == [1, 2, 3]
