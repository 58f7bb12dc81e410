"""The migrations of every service run on both kinds of database."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import services
from services.shared.database import Database
from services.shared.migrate import migrations_of
from services.shared.settings import Settings

FOLDER = Path(next(iter(services.__path__)))
SERVICES = sorted(path.parent.name for path in FOLDER.glob("*/migrations") if path.parent.name != "shared")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_services_migrations_run(database_settings: Settings, service: str) -> None:
    database = Database.open(database_settings, service, migrations_of(service))
    await database.migrate()
    async with database.engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: set(sa.inspect(sync).get_table_names()))
    await database.close()
    assert tables > {"operations", "alembic_version"}
