"""Puts the pages, the gate before them and the error pages together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from fastapi import Depends, FastAPI

from services.console import failures, security
from services.console.attempts import Attempts
from services.console.backends import Backends
from services.console.invitations import InvitationLedger, InvitationSigner
from services.console.loop import Loop
from services.console.pages import PAGES
from services.console.runs import RunShelf
from services.console.sessions import SessionKeeper
from services.console.statics import CachedFiles
from services.console.tasks import TaskBoard
from services.shared.rpc.principal import Principal

# From a bearer token to whose it is. Raises Unauthenticated.
Authenticator = Callable[[str], Principal]


@dataclass(frozen=True)
class Doors:
    """How people come in, and for how long."""

    secret: bytes
    authenticate: Authenticator
    public_url: str
    session_seconds: int = 12 * 3600

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


@dataclass(frozen=True)
class Resources:
    """What the pages read and write while the console runs."""

    backends: Backends
    runs: RunShelf
    tasks: TaskBoard
    loop: Loop
    ledger: InvitationLedger


def create_app(doors: Doors, open_resources: Callable[[], AbstractAsyncContextManager[Resources]]) -> FastAPI:
    """The console as an ASGI application; resources are opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources() as resources:
            app.state.resources = resources
            yield

    app = FastAPI(
        title="lima console",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(security.check_csrf)],
    )
    app.state.doors = doors
    app.state.keeper = SessionKeeper(doors.secret, doors.session_seconds)
    app.state.signer = InvitationSigner(doors.secret)
    app.state.attempts = Attempts()
    app.mount("/static", CachedFiles())
    for router in PAGES:
        app.include_router(router)
    failures.register(app)
    app.add_middleware(security.Gate, keeper=app.state.keeper, secure=doors.secure, fault=failures.fault)
    return app
