"""The loop as a picture: what exists at each stage, what is running, what waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.longrunning import operations_pb2

from lima.common.v1 import progress_pb2
from lima.curation.v1 import authoring_pb2, curation_pb2, review_pb2
from lima.inference.v1 import inference_pb2, model_pb2
from lima.judging.v1 import judging_pb2
from services.console import security
from services.console.backends import PAGE_SECONDS, Backends
from services.console.gathering import settle
from services.console.pages.authoring import COLLECTION
from services.console.runs import ENDED
from services.console.sessions import Permission, Session
from services.console.tasks import Task, TaskBoard
from services.console.views import last_part, page

router = APIRouter()
PAGE_SIZE = 200


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


@dataclass(frozen=True)
class Waiting:
    """What waits for the person who looks."""

    queues: Sequence[review_pb2.Queue] = field(default_factory=list)
    tasks: Sequence[tuple[Task, judging_pb2.AnnotatorProgress]] = field(default_factory=list)
    quotas: Sequence[authoring_pb2.AuthoringQuota] = field(default_factory=list)


@router.get("/")
async def home(request: Request) -> Response:
    session = security.session_of(request)
    if session.role is None:
        raise security.SignInNeeded("/")
    return page(request, "home.html", **await _values(request, session))


@router.get("/parts/home")
async def home_part(request: Request) -> Response:
    session = security.session_of(request)
    if session.role is None:
        raise security.SignInNeeded("/")
    return page(request, "home_live.html", **await _values(request, session))


async def _values(request: Request, session: Session) -> dict[str, Any]:
    backends: Backends = request.app.state.resources.backends
    tasks: TaskBoard = request.app.state.resources.tasks
    waiting = _waiting(backends, tasks, session) if session.may(Permission.TASKS) else _nothing()
    if not session.may(Permission.READ):
        return {"stages": [], "work": [], "runs": [], "waiting": await waiting}
    stages, work, runs, waits = await asyncio.gather(
        _stages(backends), _work(backends), settle("runs", request.app.state.resources.runs.all()), waiting
    )
    newest = [run.run for run in (runs or [])[:3]]
    stages.insert(2, Stage("runs", "/runs", None if runs is None else len(runs), newest=newest))
    under_way = [run for run in runs or [] if run.phase not in ENDED]
    return {"stages": stages, "work": work, "runs": under_way, "waiting": waits}


async def _nothing() -> Waiting:
    return Waiting()


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


async def _waiting(backends: Backends, board: TaskBoard, session: Session) -> Waiting:
    queues, tasks, quotas = await asyncio.gather(
        settle("queues", backends.review.ListQueues(review_pb2.ListQueuesRequest(), timeout=PAGE_SECONDS)),
        settle("tasks", board.waiting(session.name)),
        settle(
            "quotas",
            backends.authoring.GetAuthoringProgress(
                authoring_pb2.GetAuthoringProgressRequest(parent=COLLECTION), timeout=PAGE_SECONDS
            ),
        ),
    )
    return Waiting(
        [queue for queue in queues.queues if queue.progress.pending] if queues else [],
        [(task, progress) for task, progress in tasks if progress.remaining] if tasks else [],
        [quota for quota in quotas.quotas if quota.submitted < quota.wanted] if quotas else [],
    )
