"""Operations when leases are lost and connections break."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue

from services.shared.database import Database
from services.shared.errors import Unavailable
from services.shared.operations import OperationContext, Operations
from services.shared.operations.table import table
from services.shared.settings import Settings

REQUEST = StringValue(value="a request")
WAIT_SECONDS = 30


async def test_a_replica_that_lost_its_lease_lets_go(database_settings: Settings) -> None:
    started, interrupted = asyncio.Event(), asyncio.Event()

    async def linger(context: OperationContext, request: StringValue) -> StringValue:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()
        return request

    database = Database.open(database_settings, "probe")
    await database.migrate()
    operations = Operations(database, database_settings)
    operations.register("shout", linger)
    await operations.run()
    operation = await operations.start("shout", REQUEST)
    await started.wait()
    async with database.transaction() as session:  # as if this replica had slept through its lease
        await session.execute(table.update().values(lease_owner="another", lease_until=1e12))
    await asyncio.wait_for(interrupted.wait(), WAIT_SECONDS)
    await operations.stop()
    async with database.session() as session:
        [(owner, done)] = (await session.execute(sa.select(table.c.lease_owner, table.c.done))).all()
    assert (owner, done) == ("another", False), operation.name
    await database.close()


async def test_work_goes_on_after_the_database_dropped_every_connection(postgresql_url: str) -> None:
    settings = Settings(database_url=postgresql_url, operation_lease_seconds=2)
    started, release = asyncio.Event(), asyncio.Event()

    async def linger(context: OperationContext, request: StringValue) -> StringValue:
        started.set()
        await release.wait()
        return request

    database = Database.open(settings, "probe")
    await database.migrate()
    operations = Operations(database, settings)
    operations.register("shout", linger)
    await operations.run()
    operation = await operations.start("shout", REQUEST)
    await started.wait()
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute(query)
    release.set()
    done = await operations.wait(operation.name, WAIT_SECONDS)
    assert done.done
    assert not done.HasField("error")
    await operations.stop()
    await database.close()


async def test_a_database_that_is_away_is_told_as_unavailable() -> None:
    settings = Settings(database_url="postgresql://lima@127.0.0.1:1/lima")
    database = Database.open(settings, "probe")
    with pytest.raises(Unavailable, match="does not answer"):
        await database.ping()
    operations = Operations(database, settings)
    operations.register("shout", lambda context, request: asyncio.sleep(0, request))
    # The loop only logs, so that a server outlives an outage of its database.
    await operations.run()
    with pytest.raises(Unavailable):
        await operations.start("shout", REQUEST)
    await operations.stop()
    await database.close()
