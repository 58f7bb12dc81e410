"""The judging server: `python -m services.judging`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.judging.annotation_servicer import AnnotationServicer, annotation_service
from services.judging.inference_client import InferenceClient
from services.judging.repository import StudyRepository
from services.judging.servicer import JudgingServicer, judging_service
from services.judging.studies import Studies
from services.shared.database import Database
from services.shared.objects import ObjectStore
from services.shared.operations import Operations
from services.shared.program import run_program
from services.shared.rpc.client import connect
from services.shared.rpc.server import RunningServer, Service, running, serve
from services.shared.settings import Settings

NAME = "judging"
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Parts:
    services: Sequence[Service]
    operations: Operations


@asynccontextmanager
async def assembled(settings: Settings) -> AsyncIterator[Parts]:
    """The services with everything they stand on, closed at the end."""
    database = Database.open(settings, NAME, MIGRATIONS)
    await database.migrate()
    token = settings.token.get_secret_value() if settings.token else None
    channel = connect(settings.inference_address, token, settings=settings)
    repository = StudyRepository(database)
    studies = Studies(repository, ObjectStore.from_settings(settings), InferenceClient(channel))
    try:
        operations = Operations(database, settings)
        services = [
            judging_service(JudgingServicer(studies, operations)),
            annotation_service(AnnotationServicer(repository)),
        ]
        yield Parts(services, operations)
    finally:
        await studies.close()
        await channel.close()
        await repository.close()
        await database.close()


@asynccontextmanager
async def running_judging(settings: Settings) -> AsyncIterator[RunningServer]:
    """A server for the length of the block."""
    async with (
        assembled(settings) as parts,
        running(settings, NAME, parts.services, operations=parts.operations) as server,
    ):
        yield server


async def main(settings: Settings) -> None:
    async with assembled(settings) as parts:
        await serve(settings, NAME, parts.services, operations=parts.operations)


if __name__ == "__main__":
    sys.exit(run_program(NAME, main))
