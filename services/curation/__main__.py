"""The curation server: `python -m services.curation`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.curation.authoring import Authoring
from services.curation.authoring_servicer import AuthoringServicer, authoring_service
from services.curation.build import Builder
from services.curation.corpora import Corpora
from services.curation.datasets import Datasets
from services.curation.handlers import Handlers
from services.curation.pool import LocalWorkers, Workers
from services.curation.review_queues import ReviewQueues
from services.curation.review_servicer import ReviewServicer, review_service
from services.curation.servicer import CurationServicer, curation_service
from services.curation.settings import CurationSettings
from services.curation.web import Web
from services.curation.workshop import Workshop
from services.shared.database import Database
from services.shared.objects import ObjectStore
from services.shared.operations import Operations
from services.shared.program import run_program
from services.shared.rpc.server import RunningServer, Service, running, serve

NAME = "curation"
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Parts:
    services: Sequence[Service]
    operations: Operations


def workers_of(settings: CurationSettings) -> Workers:
    if settings.curation_runner == "ray":
        from services.curation.ray_workers import RayWorkers

        return RayWorkers()
    return LocalWorkers(settings.curation_workers)


def workshop_of(settings: CurationSettings) -> Workshop:
    store = ObjectStore.from_settings(settings)
    local = settings.local_folder
    most = settings.curation_max_decoded_bytes
    web = Web(settings.curation_import_urls, most)
    corpora = Corpora(store, local / "corpora", settings.curation_import_roots, most, web)
    builder = Builder(local / "parts", workers_of(settings))
    return Workshop(store, corpora, Datasets(store), builder, local / "work")


@asynccontextmanager
async def assembled(settings: CurationSettings) -> AsyncIterator[Parts]:
    """The services with everything they stand on, closed at the end."""
    database = Database.open(settings, NAME, MIGRATIONS)
    await database.migrate()
    try:
        operations = Operations(database, settings)
        workshop, queues = workshop_of(settings), ReviewQueues(database)
        handlers = Handlers(workshop, queues)
        handlers.register(operations)
        yield Parts(
            [
                curation_service(CurationServicer(workshop, queues, operations, handlers)),
                review_service(ReviewServicer(queues, operations)),
                authoring_service(AuthoringServicer(Authoring(database), workshop.corpora)),
            ],
            operations,
        )
    finally:
        await database.close()


@asynccontextmanager
async def running_curation(settings: CurationSettings) -> AsyncIterator[RunningServer]:
    """A server for the length of the block."""
    async with (
        assembled(settings) as parts,
        running(settings, NAME, parts.services, operations=parts.operations) as server,
    ):
        yield server


async def main(settings: CurationSettings) -> None:
    async with assembled(settings) as parts:
        await serve(settings, NAME, parts.services, operations=parts.operations)


if __name__ == "__main__":
    sys.exit(run_program(NAME, main, CurationSettings))
