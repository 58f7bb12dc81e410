"""The database layer on a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.shared.database import Database
from services.shared.errors import DiskFull, FailedPrecondition, InvalidInput, Unavailable
from services.shared.operations.table import metadata as operations_metadata
from services.shared.settings import Settings

MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision = "{revision}"
down_revision = {parent!r}
def upgrade():
    {upgrade}
"""


class Base(DeclarativeBase):
    pass


class Counter(Base):
    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    value: Mapped[int]


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    create = (
        'op.create_table("counters", sa.Column("name", sa.String(20), primary_key=True),'
        ' sa.Column("value", sa.Integer, nullable=False))'
    )
    (folder / "0001_counters.py").write_text(MIGRATION.format(revision="0001", parent=None, upgrade=create))
    return folder


async def test_migrations_make_exactly_the_tables_of_the_models(database_settings: Settings, migrations: Path) -> None:
    database = Database.open(database_settings, "curation", migrations)
    await database.migrate()
    await database.migrate()  # a second time does nothing
    assert await database.differences(Base.metadata) == []
    assert await database.differences(operations_metadata) == []
    await database.close()


async def test_a_later_migration_is_applied_to_an_older_database(database_settings: Settings, migrations: Path) -> None:
    database = Database.open(database_settings, "curation", migrations)
    await database.migrate()
    async with database.transaction() as session:
        session.add(Counter(name="kept", value=1))
    add = 'op.add_column("counters", sa.Column("note", sa.Text))'
    (migrations / "0002_note.py").write_text(MIGRATION.format(revision="0002", parent="0001", upgrade=add))
    await database.migrate()
    async with database.session() as session:
        assert (await session.execute(sa.text("SELECT name, note FROM counters"))).all() == [("kept", None)]
    await database.close()


async def test_a_failed_migration_leaves_nothing_behind(database_settings: Settings, migrations: Path) -> None:
    fail = 'op.create_table("half", sa.Column("x", sa.Integer)); raise RuntimeError("broken")'
    (migrations / "0002_half.py").write_text(MIGRATION.format(revision="0002", parent="0001", upgrade=fail))
    database = Database.open(database_settings, "curation", migrations)
    with pytest.raises(RuntimeError, match="broken"):
        await database.migrate()
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == []
    await database.close()


async def test_a_database_of_a_newer_version_is_refused(database_settings: Settings, migrations: Path) -> None:
    database = Database.open(database_settings, "curation", migrations)
    await database.migrate()
    (migrations / "0001_counters.py").unlink()
    with pytest.raises(FailedPrecondition, match="newer version"):
        await database.migrate()
    await database.close()


async def test_services_that_share_a_database_keep_apart(database_settings: Settings, migrations: Path) -> None:
    databases = [Database.open(database_settings, service, migrations) for service in ("curation", "judging")]
    for database in databases:
        await database.migrate()
    async with databases[0].transaction() as session:
        session.add(Counter(name="mine", value=1))
    async with databases[1].session() as session:
        assert (await session.scalars(sa.select(Counter))).all() == []
    for database in databases:
        await database.close()


async def test_concurrent_writers_lose_no_update(database_settings: Settings, migrations: Path) -> None:
    # Two engines, as two programs would have.
    databases = [Database.open(database_settings, "curation", migrations) for _ in range(2)]
    await databases[0].migrate()
    async with databases[0].transaction() as session:
        session.add(Counter(name="hits", value=0))

    async def hit(database: Database) -> None:
        async with database.transaction() as session:
            counter = await session.get_one(Counter, "hits", with_for_update=True)
            counter.value += 1

    await asyncio.gather(*(hit(database) for database in databases * 10))
    async with databases[1].session() as session:
        assert (await session.get_one(Counter, "hits")).value == 20
    for database in databases:
        await database.close()


async def test_a_failed_transaction_writes_nothing(database_settings: Settings, migrations: Path) -> None:
    database = Database.open(database_settings, "curation", migrations)
    await database.migrate()

    async def fail_halfway() -> None:
        async with database.transaction() as session:
            session.add(Counter(name="half", value=1))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_halfway()
    async with database.session() as session:
        assert (await session.scalars(sa.select(Counter))).all() == []
    await database.close()


def test_programs_that_start_at_once_migrate_once(database_settings: Settings, migrations: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from services.shared.database import Database; from services.shared.settings import Settings\n"
        "async def main():\n"
        "    settings = Settings(state_dir=sys.argv[1], database_url=sys.argv[2])\n"
        "    database = Database.open(settings, 'curation', Path(sys.argv[3]))\n"
        "    await database.migrate(); await database.close()\n"
        "asyncio.run(main())"
    )
    arguments = [str(database_settings.state_dir), database_settings.database_url, str(migrations)]
    programs = [
        subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in programs:
        _, output = process.communicate(timeout=100)
        assert process.returncode == 0, output


async def test_a_transaction_inside_another_is_refused_rather_than_waited_for(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.database.BUSY_SECONDS", 0.1)
    database = Database.open(Settings(state_dir=tmp_path), "curation", migrations)
    await database.migrate()

    async def nest() -> None:
        async with database.transaction(), database.transaction():
            raise AssertionError("SQLite has one writer")

    with pytest.raises(Unavailable, match="is busy"):
        await nest()
    async with database.transaction() as session:  # and the lock is free again
        session.add(Counter(name="after", value=1))
    await database.close()


async def test_a_full_disk_is_told(tmp_path: Path, migrations: Path) -> None:
    database = Database.open(Settings(state_dir=tmp_path), "curation", migrations)
    await database.migrate()

    async def fill() -> None:
        async with database.transaction() as session:
            await session.execute(sa.text("PRAGMA max_page_count = 1"))  # SQLite's own full disk
            session.add_all(Counter(name=f"{number:020}", value=number) for number in range(10_000))

    with pytest.raises(DiskFull, match="no space left"):
        await fill()
    async with database.session() as session:
        assert (await session.scalars(sa.select(Counter))).all() == []
    await database.close()


async def test_services_that_start_at_once_in_one_process_keep_apart(
    database_settings: Settings, migrations: Path
) -> None:
    databases = [Database.open(database_settings, service, migrations) for service in ("curation", "judging")]
    await asyncio.gather(*(database.migrate() for database in databases))
    for database in databases:
        assert await database.differences(Base.metadata) == []
        await database.close()


async def test_an_absent_server_is_told_without_the_password(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, database_url="postgresql://lima:hunter2@127.0.0.1:1/lima")
    database = Database.open(settings, "curation")
    with pytest.raises(Unavailable, match="does not answer") as failure:
        await database.migrate()
    assert "hunter2" not in str(failure.value)
    await database.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_cannot_hold_every_text_is_refused_at_the_door(
    postgresql_server: str, tmp_path: Path, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    url = postgresql_server.replace("/postgres?", f"/{name}?")
    database = Database.open(Settings(state_dir=tmp_path, database_url=url), "curation")
    for attempt in (database.migrate, database.ping):
        with pytest.raises(FailedPrecondition, match=f"stores text as {encoding}") as failure:
            await attempt()
        assert "createdb --encoding=UTF8" in failure.value.remedy
    await database.close()
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")


def test_a_service_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        Database.open(Settings(state_dir=tmp_path), 'x"; DROP SCHEMA public')
