"""What outside models cost, and what they answered already."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.inference import tables
from services.inference.answers import Usage
from services.inference.together import Together
from services.shared.database import Database
from services.shared.errors import ResourceExhausted


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole reply, for whoever sends the same request again."""

    digest: str
    reply: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    model: str
    caller: str
    usage: Usage
    usd: float
    promised: float
    kept: Kept | None


class Ledger:
    """Spending per model, in US dollars, and the cap on it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Promised to calls in flight, so that many at once cannot pass the cap together.
        self._reserved: dict[str, float] = {}
        # What is spent and what is promised must be read together: a call that ends moves from one to the other.
        self._lock = asyncio.Lock()
        self._enter = Together(self._enter_all)

    async def spent(self, model: str) -> float:
        query = sa.select(sa.func.coalesce(sa.func.sum(tables.spend.c.usd), 0.0)).where(tables.spend.c.model == model)
        async with self._database.session() as session:
            return float((await session.execute(query)).scalar_one())

    async def reserve(self, model: str, usd: float, cap: float) -> None:
        """Raises ResourceExhausted if the cap (0 for none) would be passed by what is spent, promised and asked."""
        async with self._lock:
            promised = self._reserved.get(model, 0.0)
            spent = await self.spent(model) if cap else 0.0
            if cap and spent + promised + usd > cap:
                raise ResourceExhausted(
                    f"{model} has cost {spent:.4f} USD, {promised:.4f} more are in flight; this call may cost "
                    f"{usd:.4f} and would pass its cap of {cap:.4f} USD",
                    remedy="register it with a higher spend_cap_usd",
                )
            self._reserved[model] = promised + usd

    async def release(self, model: str, usd: float) -> None:
        """Takes back the promise of a call that came to nothing."""
        async with self._lock:
            self._reserved[model] -= usd

    async def settle(
        self, model: str, caller: str, usage: Usage, usd: float, promised: float, kept: Kept | None = None
    ) -> None:
        """Enters what a call did cost in place of what was promised for it, and keeps its reply.

        Returns when both are on disk. The promise ends here whatever comes: it must not be released as well.
        """
        await self._enter(_Entry(model, caller[:128], usage, usd, promised, kept))

    async def _enter_all(self, entries: Sequence[_Entry]) -> Sequence[None]:
        """In one transaction: calls that end together do not wait for the disk one after the other."""
        now = time.time()
        spend = [
            {
                "model": entry.model,
                "caller": entry.caller,
                "prompt_tokens": entry.usage.prompt_tokens,
                "completion_tokens": entry.usage.completion_tokens,
                "usd": entry.usd,
                "spent": now,
            }
            for entry in entries
        ]
        answers = [
            {"digest": entry.kept.digest, "model": entry.model, "answer": json.dumps(entry.kept.reply), "created": now}
            for entry in entries
            if entry.kept is not None
        ]
        async with self._lock:
            try:
                async with self._database.transaction() as session:
                    await session.execute(tables.spend.insert(), spend)
                    if answers:
                        await session.execute(self._insert_answers, answers)
            finally:
                for entry in entries:
                    self._reserved[entry.model] -= entry.promised
        return [None] * len(entries)

    @property
    def _insert_answers(self) -> Any:
        """Of a request that was answered twice at once, either answer will do."""
        dialect = postgresql if self._database.engine.dialect.name == "postgresql" else sqlite
        return dialect.insert(tables.cached_answers).on_conflict_do_nothing()


class AnswerCache:
    """Whole replies by the digest of the request that they answer; `Ledger.settle` keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._find = Together(self._find_all)

    async def get(self, digest: str) -> dict[str, Any] | None:
        text = await self._find(digest)
        return json.loads(text) if text is not None else None

    async def _find_all(self, digests: Sequence[str]) -> Sequence[str | None]:
        columns = tables.cached_answers.c
        query = sa.select(columns.digest, columns.answer).where(columns.digest.in_(digests))
        async with self._database.session() as session:
            rows = (await session.execute(query)).all()
        found: dict[str, str] = {row.digest: row.answer for row in rows}
        return [found.get(digest) for digest in digests]
