"""What outside models cost, and what they answered already."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.inference import tables
from services.inference.answers import Usage
from services.shared.database import Database
from services.shared.errors import ResourceExhausted


class Ledger:
    """Spending per model, in US dollars, and the cap on it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Promised to calls in flight, so that many at once cannot pass the cap together.
        self._reserved: dict[str, float] = {}
        # What is spent and what is promised must be read together: a call that ends moves from one to the other.
        self._lock = asyncio.Lock()

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

    async def settle(self, model: str, caller: str, usage: Usage, usd: float, promised: float) -> None:
        """Enters what a call did cost in place of what was promised for it."""
        values = {
            "model": model,
            "caller": caller[:128],
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "usd": usd,
            "spent": time.time(),
        }
        async with self._lock:
            async with self._database.transaction() as session:
                await session.execute(tables.spend.insert().values(**values))
            self._reserved[model] -= promised


class AnswerCache:
    """Whole replies by the digest of the request that they answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, digest: str) -> dict[str, Any] | None:
        rows = tables.cached_answers
        async with self._database.session() as session:
            text = await session.scalar(sa.select(rows.c.answer).where(rows.c.digest == digest))
        return json.loads(text) if text is not None else None

    async def put(self, digest: str, model: str, reply: dict[str, Any]) -> None:
        values = {"digest": digest, "model": model, "answer": json.dumps(reply), "created": time.time()}
        try:
            async with self._database.transaction() as session:
                await session.execute(tables.cached_answers.insert().values(**values))
        except IntegrityError:
            pass  # the same request was answered twice at once; either answer will do
