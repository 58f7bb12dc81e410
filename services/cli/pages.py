"""All rows of a List method, page after page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAGE_ROWS = 500


async def every(
    method: Callable[[Any], Awaitable[Any]], request: Any, rows: str, limit: int | None = None
) -> list[Any]:
    """What a List RPC gives for a request, all of it or the first `limit`; `rows` is the field of the response."""
    found: list[Any] = []
    request.page_size = min(PAGE_ROWS, limit or PAGE_ROWS)
    while True:
        page = await method(request)
        found += getattr(page, rows)
        request.page_token = page.next_page_token
        if not request.page_token or (limit is not None and len(found) >= limit):
            return found[:limit]
