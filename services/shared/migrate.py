"""Bring the tables of a service up to date: python -m services.shared.migrate SERVICE [--wait SECONDS]

It waits for a database that does not answer yet, and does nothing when the tables are up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from services.shared.database import Database
from services.shared.errors import InvalidInput
from services.shared.program import run_program, until_available
from services.shared.settings import Settings

SERVICES = Path(__file__).parent.parent


def migrations_of(service: str) -> Path | None:
    """The folder of a service's own migrations; None for a service that keeps only operations."""
    folder = SERVICES / service
    if not (folder / "__init__.py").is_file() or folder.parent != SERVICES:
        raise InvalidInput("SERVICE", service, "must be the name of a service, such as curation")
    migrations = folder / "migrations"
    return migrations if migrations.is_dir() else None


async def migrate(settings: Settings, service: str, wait_seconds: float) -> None:
    database = Database.open(settings, service, migrations_of(service))
    try:
        await until_available(database.migrate, wait_seconds)
    finally:
        await database.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--wait", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    arguments = parser.parse_args()
    return run_program("migrate", lambda settings: migrate(settings, arguments.service, arguments.wait))


if __name__ == "__main__":
    sys.exit(main())
