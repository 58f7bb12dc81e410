"""Work ends while the disk still has room for last words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.cli.stack import space
from services.cli.stack.layout import StackLayout
from services.shared.errors import FailedPrecondition

MORE_THAN_ANY_DISK = 2**63


async def test_work_ends_when_the_disk_is_all_but_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        # From here on less is free than must be.
        monkeypatch.setattr(space, "RESERVE_BYTES", MORE_THAN_ANY_DISK)
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(FailedPrecondition, match="no space left on the disk that holds") as caught:
        await space.while_there_is_space(StackLayout(tmp_path / "not" / "yet"), work())
    assert "LIMA_STATE_DIR" in caught.value.remedy
    assert ended.is_set()


async def test_with_space_the_work_is_left_alone(tmp_path: Path) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await space.while_there_is_space(StackLayout(tmp_path), work()) == "done"


async def test_what_the_work_raises_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        raise FailedPrecondition("of its own")

    with pytest.raises(FailedPrecondition, match="of its own"):
        await space.while_there_is_space(StackLayout(tmp_path), work())


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "RESERVE_BYTES", MORE_THAN_ANY_DISK)
    with pytest.raises(FailedPrecondition, match="in reserve"):
        space.check_space(StackLayout(tmp_path))
