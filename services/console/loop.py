"""What exists at each stage of the loop and which operations are under way, for everybody who may read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.longrunning import operations_pb2

from lima.common.v1 import progress_pb2
from lima.curation.v1 import curation_pb2
from lima.inference.v1 import inference_pb2, model_pb2
from lima.judging.v1 import judging_pb2
from services.console.backends import PAGE_SECONDS, Backends
from services.console.gathering import settle
from services.console.recent import Recent
from services.console.views import last_part

PAGE_SIZE = 200
# Home asks again every five seconds, for everybody who has it open.
FRESH_SECONDS = 4.0
# One who looks at the time when it must be asked again is not kept waiting for the twelve calls that this takes.
OVERDUE_SECONDS = 8.0


@dataclass(frozen=True)
class Stage:
    """One station of the loop. `count` is None when its service does not answer."""

    key: str
    path: str
    count: int | None
    more: bool = False
    newest: Sequence[str] = ()


@dataclass(frozen=True)
class Work:
    """An operation under way."""

    service: str
    target: str
    stage: str
    done: int
    total: int
    unit: str


class Loop:
    """Shared by all who look, at most FRESH_SECONDS and OVERDUE_SECONDS old together."""

    def __init__(self, backends: Backends) -> None:
        self._stages = Recent(lambda: _stages(backends), FRESH_SECONDS, OVERDUE_SECONDS)
        self._work = Recent(lambda: _work(backends), FRESH_SECONDS, OVERDUE_SECONDS)

    async def stages(self) -> list[Stage]:
        """Every stage but the runs."""
        return await self._stages.get()

    async def work(self) -> list[Work]:
        return await self._work.get()


async def _stages(backends: Backends) -> list[Stage]:
    """Counts of each stage but runs, from the first page of each list."""
    asked = (
        ("corpora", "/datasets", backends.curation.ListCorpora, curation_pb2.ListCorporaRequest, "corpora"),
        ("datasets", "/datasets", backends.curation.ListDatasets, curation_pb2.ListDatasetsRequest, "datasets"),
        ("models", "/chat", backends.models.ListModels, model_pb2.ListModelsRequest, "models"),
        (
            "responses",
            "/studies",
            backends.inference.ListResponseSets,
            inference_pb2.ListResponseSetsRequest,
            "response_sets",
        ),
        ("studies", "/studies", backends.judging.ListStudies, judging_pb2.ListStudiesRequest, "studies"),
    )

    async def ask(key: str, path: str, call: Any, request: Any, field_name: str) -> Stage:
        answer = await settle(key, call(request(page_size=PAGE_SIZE), timeout=PAGE_SECONDS))
        if answer is None:
            return Stage(key, path, None)
        found = getattr(answer, field_name)
        return Stage(key, path, len(found), bool(answer.next_page_token), [_shown(one.name) for one in found[:3]])

    return list(await asyncio.gather(*(ask(*one) for one in asked)))


def _shown(name: str) -> str:
    """A resource name as people know it: without its collection, digests cut to eight characters.

    >>> _shown("datasets/quickstart/0123456789abcdef"), _shown("models/lima/versions/v1")
    ('quickstart/01234567', 'lima/v1')
    """
    parts = [part for part in name.split("/")[1:] if part != "versions"]
    return "/".join(part[:8] if index and len(part) > 12 else part[:32] for index, part in enumerate(parts))


async def _work(backends: Backends) -> list[Work]:
    """Operations that have not ended, of every service."""

    async def ask(service: str, stub: Any) -> list[Work]:
        request = operations_pb2.ListOperationsRequest(filter="done=false", page_size=50)
        answer = await settle(f"{service} operations", stub.ListOperations(request, timeout=PAGE_SECONDS))
        return [_work_of(service, one) for one in answer.operations if not one.done] if answer else []

    found = await asyncio.gather(*(ask(service, stub) for service, stub in backends.operations.items()))
    return [work for works in found for work in works]


def _work_of(service: str, operation: operations_pb2.Operation) -> Work:
    progress = progress_pb2.OperationProgress()
    operation.metadata.Unpack(progress)
    return Work(
        service,
        progress.target or last_part(operation.name),
        progress.stage,
        progress.done,
        progress.total,
        progress.unit,
    )
