"""Short transactions that run in one piece.

SQLite's driver for asyncio hands every step of every statement to another thread, forty times for one item given
and judged. Here a whole transaction is handed over once, to the one thread that writes; PostgreSQL waits for
the network anyhow and keeps its own driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from services.shared.database import BUSY_SECONDS, Database
from services.shared.errors import DiskFull, Unavailable

T = TypeVar("T")


class OnePiece:
    """Runs synchronous functions of a connection, each as a transaction that writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = _open(database) if database.engine.dialect.name == "sqlite" else None
        # Its queue is fair; SQLite's own waiting for another writer is not.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, committed; nothing of it where it raises."""
        if self._engine is None:
            async with self._database.transaction() as session:
                return await (await session.connection()).run_sync(work)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, self._engine, work)

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        try:
            with engine.begin() as connection:
                return work(connection)
        except OperationalError as error:
            if "disk is full" in str(error.orig):
                raise DiskFull(self._database.address) from error
            raise Unavailable(
                f"the database {self._database.address} does not answer: {error.orig}",
                remedy="check its disk, and that no other program has locked the file",
                retry_seconds=2,
            ) from error

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        if self._engine is not None:
            self._engine.dispose()


def _open(database: Database) -> sa.Engine:
    url = database.engine.url.set(drivername="sqlite+pysqlite")
    options = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = sa.create_engine(url, connect_args=options, poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # As the service's other connections, see services.shared.database.
        connection.isolation_level = None
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
