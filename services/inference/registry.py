"""Which models and aliases there are: rows, and what names mean."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.inference import tables
from services.inference.names import AliasRef, BareRef, ModelRef, Reference, parse_reference
from services.inference.together import Together
from services.shared.database import Database
from services.shared.errors import AlreadyExists, FailedPrecondition, NotFound

Kind = Literal["replica", "upstream", "recorded"]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One row of `models`. `source` is JSON; `wanted` and the four after it are what LoadModel declared."""

    name: str
    version: str
    kind: Kind
    uri: str
    digest: str
    parameter_count: int = 0
    context_length: int = 0
    origin: str = ""
    source: str = "{}"
    wanted: bool = False
    engine: str = ""
    min_replicas: int = 1
    max_replicas: int = 1
    serial: int = 0
    created: float = 0.0

    @property
    def resource(self) -> str:
        return f"models/{self.name}/versions/{self.version}"


@dataclass(frozen=True, slots=True)
class AliasChange:
    id: int
    model: str
    previous_id: int | None
    changed_by: str
    changed: float


@dataclass(frozen=True, slots=True)
class Alias:
    """`history` is newest first; `model` is what the alias means now."""

    name: str
    model: str
    history: tuple[AliasChange, ...]


class Registry:
    """`changes` counts what this process has written, so that what was read before can be told from it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = 0
        self._row_of = Together(self._rows)

    async def add(self, model: ModelVersion) -> ModelVersion:
        """Adds a version, or gives the row of the same content that is there; AlreadyExists for other content."""
        existing = await self._row(model.name, model.version)
        if existing is None:
            now = time.time()
            values = asdict(model) | {"serial": time.time_ns(), "created": now}
            try:
                async with self._database.transaction() as session:
                    await session.execute(tables.models.insert().values(**values))
                self.changes += 1
            except IntegrityError:
                pass  # another front was faster; its row is compared below
            existing = await self._row(model.name, model.version)
        if existing is None or (existing.kind, existing.digest) != (model.kind, model.digest):
            raise AlreadyExists("model version", model.resource, remedy="it holds other content: name a new version")
        return existing

    async def get(self, reference: Reference) -> ModelVersion:
        """The version that a reference means now. Raises NotFound."""
        if isinstance(reference, AliasRef):
            target = parse_reference((await self.get_alias(reference.name)).model)
            return await self.get(target)
        if isinstance(reference, BareRef):
            if await self._alias_row(reference.name) is not None:
                return await self.get(AliasRef(reference.name))
            reference = ModelRef(reference.name)
        found = await (
            self._row(reference.name, reference.version) if reference.version else self._newest(reference.name)
        )
        if found is None:
            raise NotFound("model", str(reference), remedy="lima models list shows those there are")
        return found

    async def page(self, after: tuple[str, int] | None, size: int) -> list[ModelVersion]:
        """By name, the newest version of each first."""
        columns = tables.models.c
        query = sa.select(tables.models).order_by(columns.name, columns.serial.desc()).limit(size)
        if after is not None:
            name, serial = after
            query = query.where(sa.or_(columns.name > name, sa.and_(columns.name == name, columns.serial < serial)))
        async with self._database.session() as session:
            return [ModelVersion(*row) for row in await session.execute(query)]

    async def wanted(self) -> list[ModelVersion]:
        """The versions of our own that are to be served."""
        query = sa.select(tables.models).where(tables.models.c.wanted, tables.models.c.kind == "replica")
        async with self._database.session() as session:
            return [ModelVersion(*row) for row in await session.execute(query)]

    async def declare(self, model: ModelVersion, **values: Any) -> ModelVersion:
        """Changes what is wanted of a version: `wanted`, `engine`, `min_replicas`, `max_replicas`."""
        columns = tables.models.c
        update = tables.models.update().where(columns.name == model.name, columns.version == model.version)
        async with self._database.transaction() as session:
            await session.execute(update.values(**values))
        self.changes += 1
        return await self.get(ModelRef(model.name, model.version))

    async def set_alias(self, name: str, model: ModelVersion, changed_by: str) -> Alias:
        async with self._database.transaction() as session:
            current = await session.scalar(sa.select(tables.aliases.c.change_id).where(tables.aliases.c.name == name))
            insert = tables.alias_changes.insert().values(
                alias=name, model=model.resource, previous_id=current, changed_by=changed_by, changed=time.time()
            )
            change_id = (await session.execute(insert)).inserted_primary_key[0]  # type: ignore[attr-defined]
            await self._point(session, name, change_id, current)
        self.changes += 1
        return await self.get_alias(name)

    async def roll_back(self, name: str, changed_by: str) -> Alias:
        """Points the alias to what it meant before its present meaning; the history keeps both."""
        alias = await self.get_alias(name)
        changes = {change.id: change for change in alias.history}
        async with self._database.transaction() as session:
            current = await session.scalar(sa.select(tables.aliases.c.change_id).where(tables.aliases.c.name == name))
            earlier = changes[current].previous_id if current in changes else None
            if earlier is None:
                raise FailedPrecondition(f"aliases/{name} has no earlier model", remedy="set it to the one you want")
            insert = tables.alias_changes.insert().values(
                alias=name,
                model=changes[earlier].model,
                previous_id=changes[earlier].previous_id,
                changed_by=changed_by,
                changed=time.time(),
            )
            change_id = (await session.execute(insert)).inserted_primary_key[0]  # type: ignore[attr-defined]
            await self._point(session, name, change_id, current)
        self.changes += 1
        return await self.get_alias(name)

    async def get_alias(self, name: str) -> Alias:
        columns = tables.alias_changes.c
        query = (
            sa.select(columns.id, columns.model, columns.previous_id, columns.changed_by, columns.changed)
            .where(columns.alias == name)
            .order_by(columns.id.desc())
        )
        async with self._database.session() as session:
            history = tuple(AliasChange(*row) for row in await session.execute(query))
        if not history:
            raise NotFound("alias", f"aliases/{name}", remedy="lima models alias NAME MODEL makes one")
        return Alias(name, history[0].model, history)

    async def _point(self, session: Any, name: str, change_id: int, current: int | None) -> None:
        if current is None:
            await session.execute(tables.aliases.insert().values(name=name, change_id=change_id))
        else:
            update = tables.aliases.update().where(tables.aliases.c.name == name)
            await session.execute(update.values(change_id=change_id))

    async def _alias_row(self, name: str) -> int | None:
        async with self._database.session() as session:
            found = await session.scalar(sa.select(tables.aliases.c.change_id).where(tables.aliases.c.name == name))
        return None if found is None else int(found)

    async def _row(self, name: str, version: str) -> ModelVersion | None:
        return await self._row_of((name, version))

    async def _rows(self, wanted: Sequence[tuple[str, str]]) -> Sequence[ModelVersion | None]:
        columns = tables.models.c
        query = sa.select(tables.models).where(sa.tuple_(columns.name, columns.version).in_(set(wanted)))
        async with self._database.session() as session:
            found = {(row.name, row.version): ModelVersion(*row) for row in await session.execute(query)}
        return [found.get(name_and_version) for name_and_version in wanted]

    async def _newest(self, name: str) -> ModelVersion | None:
        columns = tables.models.c
        query = sa.select(tables.models).where(columns.name == name).order_by(columns.serial.desc()).limit(1)
        return await self._one(query)

    async def _one(self, query: Any) -> ModelVersion | None:
        async with self._database.session() as session:
            row = (await session.execute(query)).one_or_none()
        return ModelVersion(*row) if row is not None else None
