"""What pages share when they call services and when they have done what was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from fastapi import Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from services.console.security import wants_page
from services.shared.rpc.status import to_error


@asynccontextmanager
async def calls() -> AsyncIterator[None]:
    """Turns a failed RPC inside into the domain error that it carries."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise to_error(failure) from None


def done(request: Request, target: str) -> Response:
    """After a write: a redirect for a form, the same address as JSON for one of our scripts."""
    if wants_page(request.headers):
        return RedirectResponse(target, 303)
    return JSONResponse({"next": target})
