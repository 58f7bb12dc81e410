"""Ends what is being done before the disk of the local stack is full, while every part of it can still say so."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from services.shared.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from services.cli.stack.layout import StackLayout

# Enough for the databases and logs of a stack to take their last words.
RESERVE_BYTES = 64 * 2**20
WATCH_SECONDS = 0.5

T = TypeVar("T")


def check_space(layout: StackLayout) -> None:
    """Raise FailedPrecondition where the state directory's disk, or that of Ray's folder, is all but full."""
    for folder in (layout.state_dir, layout.ray_temp):
        free = shutil.disk_usage(existing(folder)).free
        if free < RESERVE_BYTES:
            raise FailedPrecondition(
                f"no space left on the disk that holds {folder}: {free / 2**20:.0f} MiB are free, "
                f"and the stack keeps {RESERVE_BYTES // 2**20} MiB in reserve",
                remedy="free some space, or set LIMA_STATE_DIR to another disk, and run the same command again",
            )


def existing(folder: Path) -> Path:
    """The nearest folder above (or at) this one that is there already."""
    return next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.exists())


async def while_there_is_space(layout: StackLayout, work: Awaitable[T]) -> T:
    """What `work` returns; it is cancelled, and FailedPrecondition raised, as soon as the disk is all but full."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=WATCH_SECONDS))[0]:
            check_space(layout)
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    return task.result()
