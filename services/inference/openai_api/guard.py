"""A door before an HTTP API: who is refused never reaches a route.

Plain ASGI, because Starlette's base class for middleware passes each streamed piece through a queue between two tasks.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

# The refusal of a request, or None for one that may come in.
Check = Callable[[Request], Response | None]


class Guard:
    """`api.add_middleware(Guard, check=...)`"""

    def __init__(self, app: ASGIApp, check: Check) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._check(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)
