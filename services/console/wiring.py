"""From settings to a console that runs: channels, store, database, doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from services.console.app import Doors, Resources, create_app
from services.console.backends import Backends
from services.console.config import ConsoleSettings
from services.console.invitations import MIGRATIONS, InvitationLedger
from services.console.loop import Loop
from services.console.runs import RunShelf
from services.console.tasks import TaskBoard
from services.shared.database import Database
from services.shared.objects import ObjectStore
from services.shared.rpc.client import connect
from services.shared.rpc.principal import Tokens

SERVICE = "console"


@asynccontextmanager
async def open_resources(settings: ConsoleSettings) -> AsyncIterator[Resources]:
    """Opens what the pages need. No service has to answer yet: a page says so when one does not."""
    token = settings.token.get_secret_value() if settings.token else None
    async with AsyncExitStack() as stack:
        database = Database.open(settings, SERVICE, MIGRATIONS)
        stack.push_async_callback(database.close)
        await database.migrate()
        addresses = (settings.curation_address, settings.inference_address, settings.judging_address)
        curation, inference, judging = [
            await stack.enter_async_context(connect(address, token, settings=settings)) for address in addresses
        ]
        store = await asyncio.to_thread(ObjectStore.from_settings, settings)
        backends = Backends.over(curation, inference, judging, store)
        tasks = TaskBoard(backends, settings.secret())
        yield Resources(backends, RunShelf(store), tasks, Loop(backends), InvitationLedger(database))


def console(settings: ConsoleSettings) -> FastAPI:
    """The application. Raises InvalidInput when nobody could sign in."""
    tokens = Tokens.from_settings(settings)
    doors = Doors(
        secret=settings.secret(),
        authenticate=tokens.authenticate,
        public_url=settings.public_url,
        session_seconds=settings.console_session_hours * 3600,
    )
    return create_app(doors, lambda: open_resources(settings))
