"""From a name to what answers by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.inference.backends.base import Backend
from services.inference.deployments import Deployments
from services.inference.names import parse_reference
from services.inference.registry import ModelVersion, Registry
from services.shared.errors import FailedPrecondition, Unavailable

LOAD_SECONDS = 1800.0
RETRY_SECONDS = 2.0

# For so long a name means what it meant, which spares a request its looks into the database. What this process
# changes is seen at once; what another front changes, after this time at most.
KNOWN_SECONDS = 1.0
MOST_KNOWN = 1024

Open = Callable[[ModelVersion], Backend]


@dataclass(frozen=True, slots=True)
class Known:
    """What a name meant when the registry counted so many changes, until a time of the monotonic clock."""

    model: ModelVersion
    changes: int
    until: float


class Router:
    """`openers` make the backend of a kind; backends of a version are kept, because they hold rate limits."""

    def __init__(self, registry: Registry, deployments: Deployments, openers: dict[str, Open]) -> None:
        self._registry = registry
        self._deployments = deployments
        self._openers = openers
        self._backends: dict[str, Backend] = {}
        self._known: dict[str, Known] = {}

    async def model(self, name: str) -> ModelVersion:
        """Raises InvalidInput or NotFound."""
        known, changes = self._known.get(name), self._registry.changes
        if known is not None and known.changes == changes and time.monotonic() < known.until:
            return known.model
        self._known.pop(name, None)
        model = await self._registry.get(parse_reference(name))
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[name] = Known(model, changes, time.monotonic() + KNOWN_SECONDS)
        return model

    async def backend(self, name: str) -> Backend:
        """Raises FailedPrecondition for a model that nobody loaded, Unavailable for one that is not ready (again)."""
        model = await self.model(name)
        if model.kind == "replica" and not self._deployments.ready(model):
            state = self._deployments.state(model)
            if not model.wanted:
                raise FailedPrecondition(f"{model.resource} is not loaded", remedy=f"lima models load {model.name}")
            seen = f" ({state.state.lower()})" if state else ""
            raise Unavailable(
                f"{model.resource} is not ready yet{seen}",
                remedy="wait for the operation of LoadModel",
                retry_seconds=RETRY_SECONDS,
            )
        return self.open(model)

    async def backend_when_ready(self, model: ModelVersion) -> Backend:
        """As `backend` for long work, which can wait until a model that is wanted has been loaded again."""
        if model.kind == "replica" and model.wanted and not self._deployments.ready(model):
            await self._deployments.wait_ready(model, LOAD_SECONDS)
        return await self.backend(model.resource)

    def open(self, model: ModelVersion) -> Backend:
        if model.resource not in self._backends:
            self._backends[model.resource] = self._openers[model.kind](model)
        return self._backends[model.resource]

    def forget(self, model: ModelVersion) -> None:
        self._backends.pop(model.resource, None)
