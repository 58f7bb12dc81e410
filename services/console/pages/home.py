"""The loop as a picture: what exists at each stage, what is running, what waits for a person."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lima.curation.v1 import authoring_pb2, review_pb2
from lima.judging.v1 import judging_pb2
from services.console import security
from services.console.backends import PAGE_SECONDS, Backends
from services.console.gathering import settle
from services.console.loop import Loop, Stage
from services.console.pages.authoring import COLLECTION
from services.console.runs import ENDED
from services.console.sessions import Permission, Session
from services.console.tasks import Task, TaskBoard
from services.console.views import page

router = APIRouter()


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
    loop: Loop = request.app.state.resources.loop
    found, work, runs, waits = await asyncio.gather(
        loop.stages(), loop.work(), settle("runs", request.app.state.resources.runs.all()), waiting
    )
    stages = list(found)
    newest = [run.run for run in (runs or [])[:3]]
    stages.insert(2, Stage("runs", "/runs", None if runs is None else len(runs), newest=newest))
    under_way = [run for run in runs or [] if run.phase not in ENDED]
    return {"stages": stages, "work": work, "runs": under_way, "waiting": waits}


async def _nothing() -> Waiting:
    return Waiting()


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
