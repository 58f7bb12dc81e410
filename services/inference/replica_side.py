"""HTTP to the replica side: one pool of connections for the deployer and all models.

With aiohttp, because every first token waits for this client: httpx takes two milliseconds more of a request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

CONNECT_SECONDS = 5.0
# What a request raises that met nobody, or whose answer broke off.
BROKEN = (aiohttp.ClientError, TimeoutError)


class ReplicaSide:
    """Made on the event loop that uses it. `url` may end in a path, below which everything lies."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {token}"} if token else {},
            connector=aiohttp.TCPConnector(limit=0),
        )

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: Any = None, seconds: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer while it is read. Raises BROKEN.

        Leaving it before its end closes the connection, which ends the work behind it.

        Args:
            seconds: for the whole answer; without it the caller's deadline ends it.
        """
        limit = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self._session.request(
            method, f"{self.url}{path}", json=body, timeout=limit, allow_redirects=False
        ) as response:
            yield response

    async def close(self) -> None:
        await self._session.close()
