"""The operations table and its queries. Times are seconds since the epoch by the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from google.longrunning import operations_pb2
from google.rpc import status_pb2
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from lima.common.v1.progress_pb2 import OperationProgress
from services.shared.database import Database

metadata = sa.MetaData()
table = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("request_id", sa.String(128), unique=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("progress", sa.LargeBinary, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("response", sa.LargeBinary),
    sa.Column("error", sa.LargeBinary),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_owner", sa.String(64)),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Index("operations_claimable", "done", "lease_until"),
    sa.Index("operations_target", "target"),
)


class now(FunctionElement[float]):
    """The database's clock: replicas' own clocks may differ by more than a lease."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@dataclass(frozen=True)
class Row:
    """One operation as it is stored."""

    id: str
    kind: str
    target: str
    request_id: str | None
    request_digest: str
    request: bytes
    created_by: str
    progress: bytes
    done: bool
    response: bytes | None
    error: bytes | None
    cancel_requested: bool
    attempts: int
    lease_owner: str | None
    lease_until: float
    created: float
    updated: float

    def to_operation(self) -> operations_pb2.Operation:
        progress = OperationProgress.FromString(self.progress)
        progress.target = self.target
        progress.create_time.FromMilliseconds(int(self.created * 1000))
        progress.update_time.FromMilliseconds(int(self.updated * 1000))
        operation = operations_pb2.Operation(name=f"operations/{self.id}", done=self.done)
        operation.metadata.Pack(progress)
        if self.error is not None:
            operation.error.CopyFrom(status_pb2.Status.FromString(self.error))
        elif self.response is not None:
            operation.response.ParseFromString(self.response)
        return operation


class OperationTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, values: Mapping[str, Any]) -> bool:
        """False if another operation has the same request id."""
        fresh = {"done": False, "cancel_requested": False, "attempts": 0, "lease_until": 0.0, "progress": b""}
        try:
            async with self._database.transaction() as session:
                await session.execute(table.insert().values(**fresh, created=now(), updated=now(), **values))
        except IntegrityError:
            return False
        return True

    async def get(self, **where: str) -> Row | None:
        async with self._database.session() as session:
            found = (await session.execute(sa.select(table).filter_by(**where))).one_or_none()
        return Row(*found) if found else None

    async def page(self, where: Sequence[Any], before: str | None, size: int) -> list[Row]:
        """The newest first; ids grow with time."""
        query = sa.select(table).where(*where).order_by(table.c.id.desc()).limit(size)
        if before is not None:
            query = query.where(table.c.id < before)
        async with self._database.session() as session:
            return [Row(*found) for found in await session.execute(query)]

    async def claim(self, owner: str, kinds: Collection[str], seconds: float, count: int) -> list[Row]:
        """Take up to `count` unfinished operations that nobody holds. Each goes to one owner."""
        free = (~table.c.done, table.c.lease_until < now())
        claimed: list[Row] = []
        async with self._database.session() as session:
            query = sa.select(table.c.id).where(*free, table.c.kind.in_(kinds)).order_by(table.c.id).limit(count)
            candidates = (await session.scalars(query)).all()
        for identifier in candidates:
            take = (
                table.update()
                .where(table.c.id == identifier, *free)
                .values(lease_owner=owner, lease_until=now() + seconds, attempts=table.c.attempts + 1)
                .returning(*table.c)
            )
            async with self._database.transaction() as session:
                found = (await session.execute(take)).one_or_none()
            if found:
                claimed.append(Row(*found))
        return claimed

    async def renew(self, owner: str, identifiers: Collection[str], seconds: float) -> dict[str, bool]:
        """Lengthen the leases that `owner` still holds; gives for each whether its cancellation was asked for."""
        renewal = (
            table.update()
            .where(table.c.id.in_(identifiers), table.c.lease_owner == owner, ~table.c.done)
            .values(lease_until=now() + seconds)
            .returning(table.c.id, table.c.cancel_requested)
        )
        async with self._database.transaction() as session:
            return {row.id: row.cancel_requested for row in await session.execute(renewal)}

    async def write_progress(self, owner: str, identifier: str, progress: bytes) -> None:
        await self._update_held(owner, identifier, progress=progress, updated=now())

    async def finish(self, owner: str, identifier: str, values: Mapping[str, Any]) -> bool:
        """False if `owner` does not hold the operation any more: another replica has it."""
        end = {"done": True, "lease_owner": None, "lease_until": 0.0, "updated": now()}
        return await self._update_held(owner, identifier, **end, **values)

    async def release(self, owner: str, identifier: str) -> None:
        """Let another replica go on; a stop that was asked for does not count as an attempt."""
        await self._update_held(owner, identifier, lease_owner=None, lease_until=0.0, attempts=table.c.attempts - 1)

    async def request_cancel(self, identifier: str) -> None:
        update = table.update().where(table.c.id == identifier, ~table.c.done).values(cancel_requested=True)
        async with self._database.transaction() as session:
            await session.execute(update)

    async def delete(self, identifier: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(table.delete().where(table.c.id == identifier, table.c.done))

    async def _update_held(self, owner: str, identifier: str, **values: Any) -> bool:
        held = (table.c.id == identifier, table.c.lease_owner == owner, ~table.c.done)
        update = table.update().where(*held).values(**values).returning(table.c.id)
        async with self._database.transaction() as session:
            return (await session.execute(update)).one_or_none() is not None
