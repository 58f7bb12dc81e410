"""One database per service: a SQLite file on a laptop, a schema of a PostgreSQL database in a cluster.

    database = Database.open(settings, "curation", Path(__file__).parent / "migrations")
    await database.migrate()                       # at start; safe when several programs start at once
    async with database.session() as session:      # to read
        rows = (await session.scalars(select(Review))).all()
    async with database.transaction() as session:  # to write: committed at the end, or not at all
        session.add(Review(...))
    await database.close()

A migration is an alembic file in that folder (`revision`, `down_revision`, `upgrade(op...)`), written
by hand. The table of long-running operations has migrations of its own, applied for every service.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, MetaData, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from services.shared.digest import digest_bytes
from services.shared.errors import DiskFull, FailedPrecondition, InvalidInput, Unavailable
from services.shared.settings import Settings

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
BUSY_SECONDS = 20
ENVIRONMENT = Path(__file__).parent / "migrations"
OPERATIONS = Path(__file__).parent / "operations" / "migrations"
WRITES = "lima_writes"
_migrating = threading.Lock()
SERVICE_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Database:
    def __init__(self, engine: AsyncEngine, service: str, migrations: Path | None) -> None:
        self.engine = engine
        self._service = service
        self._folders = [OPERATIONS, *([migrations] if migrations else [])]
        self._sqlite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(**{WRITES: True})
        self._read_session = async_sessionmaker(engine, expire_on_commit=False)
        self._write_session = async_sessionmaker(self._writer, expire_on_commit=False)
        # SQLite has one writer: waiting here is fair, its own busy loop is not.
        self._write_lock = asyncio.Lock()

    @classmethod
    def open(cls, settings: Settings, service: str, migrations: Path | None = None) -> Database:
        """Opens no connection yet. `migrations` is the folder of the service's own alembic files."""
        if not SERVICE_NAME.fullmatch(service):
            raise InvalidInput("service", service, "must be lower-case letters, digits and underscores")
        url = make_url(settings.database_url_for(service))
        url = url.set(drivername=DRIVERS[url.drivername])
        engine = _open_sqlite(url) if url.drivername == DRIVERS["sqlite"] else _open_postgresql(url, service)
        return cls(engine, service, migrations)

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session that reads. Raises Unavailable when the database does not answer."""
        with self._told_plainly():
            async with self._read_session() as session:
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that writes; on SQLite it holds the write lock from its start, so it never has to be retried."""
        with self._told_plainly():
            if not self._sqlite:
                async with self._write_session.begin() as session:
                    yield session
                return
            async with self._only_writer(), self._write_session.begin() as session:
                yield session

    @asynccontextmanager
    async def _only_writer(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._write_lock.acquire()
        except TimeoutError:
            raise Unavailable(
                f"the database {self.address} is busy: one transaction has been writing for {BUSY_SECONDS} s",
                remedy="run this again",
                retry_seconds=2,
            ) from None
        try:
            yield
        finally:
            self._write_lock.release()

    async def migrate(self) -> None:
        """Bring the tables up to date, in one transaction. Of several programs at once, one does it."""
        async with _alone_in_this_process():
            await self._migrate()

    async def _migrate(self) -> None:
        with self._told_plainly():
            async with self._writer.begin() as connection:
                if not self._sqlite:
                    key = int(digest_bytes(f"lima/{self._service}".encode())[:15], 16)
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
                    await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self._service}"'))
                await connection.run_sync(self._upgrade)

    async def differences(self, metadata: MetaData) -> list[Any]:
        """How the migrated tables differ from `metadata`; a test of each service asserts that this is empty."""

        def compare(connection: Connection) -> list[Any]:
            options = {"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
            return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

        async with self.engine.connect() as connection:
            return await connection.run_sync(compare)

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        async with self.session() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()

    def _upgrade(self, connection: Connection) -> None:
        config = Config()
        config.attributes["connection"] = connection
        config.set_main_option("script_location", _escaped(ENVIRONMENT))
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", os.pathsep.join(map(_escaped, self._folders)))
        try:
            command.upgrade(config, "heads")
        except CommandError as error:
            raise FailedPrecondition(
                f"the database {self.address} cannot be migrated: {error}",
                remedy="it may be a newer version's: run that version, or point LIMA_DATABASE_URL elsewhere",
            ) from error

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if "disk is full" in str(error.orig) or "No space left" in str(error.orig):
                raise DiskFull(self.address) from error
            if error.connection_invalidated or isinstance(error, OperationalError):
                raise Unavailable(
                    f"the database {self.address} does not answer: {_first_line(error)}",
                    remedy="check that it runs, and LIMA_DATABASE_URL",
                    retry_seconds=2,
                ) from error
            raise


@asynccontextmanager
async def _alone_in_this_process() -> AsyncIterator[None]:
    """Alembic keeps what it works on in module globals, whatever the thread or the event loop."""
    while not _migrating.acquire(blocking=False):  # noqa: ASYNC110 - the holder may be in another loop
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        _migrating.release()


def _open_sqlite(url: URL) -> AsyncEngine:
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_async_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # The driver must not begin transactions by itself: `begin` below says how.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_SECONDS * 1000}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail at once if another wrote in between.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _open_postgresql(url: URL, service: str) -> AsyncEngine:
    # Each service has a schema of its own, so several may share one database.
    options = {"options": f"-csearch_path={service}", "connect_timeout": 10}
    engine = create_async_engine(url, connect_args=options, pool_pre_ping=True, pool_size=10, pool_recycle=1800)

    # Before SQLAlchemy's own first questions, whose answers the driver gives as bytes where the encoding is SQL_ASCII.
    @event.listens_for(engine.sync_engine, "connect", insert=True)
    def refuse_other_encodings(connection: Any, record: Any) -> None:
        encoding = connection.driver_connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise FailedPrecondition(
                f"the database {url.render_as_string()} stores text as {encoding}, and lima's texts need UTF8",
                remedy="make another: createdb --encoding=UTF8 --locale=C --template=template0 NAME, "
                "and point LIMA_DATABASE_URL at it",
            )

    return engine


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _first_line(error: sqlalchemy.exc.DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]
