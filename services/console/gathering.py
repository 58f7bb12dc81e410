"""Asking several services at once, where a page is worth showing without one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import grpc
import structlog

from services.console.backends import PAGE_SECONDS
from services.shared.errors import LimaError

log = structlog.get_logger()
T = TypeVar("T")


async def settle(what: str, answer: Awaitable[T]) -> T | None:
    """The answer, or None when the one asked fails or is too slow; the page then says that it is missing."""
    try:
        async with asyncio.timeout(PAGE_SECONDS):
            return await answer
    except (grpc.aio.AioRpcError, LimaError, TimeoutError) as error:
        log.warning("part of a page is missing", part=what, error=repr(error)[:300])
        return None
