"""Blind judging: one item at a time, under a task's code, with nothing that tells who answered."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from lima.judging.v1 import judging_pb2
from services.console import security
from services.console.answers import calls, done
from services.console.backends import PAGE_SECONDS, WRITE_SECONDS, Backends
from services.console.catalogue import catalogue
from services.console.sessions import Permission, Session
from services.console.tasks import Task, TaskBoard
from services.console.views import last_part, page
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound

router = APIRouter()
Annotator = Annotated[Session, Depends(security.need(Permission.TASKS))]

SKIP_REASONS = ("cannot-judge", "broken", "upsetting", "language")
LONGEST_SECONDS = 24 * 3600.0


async def chosen_task(request: Request, code: str) -> Task:
    """The task that the path's code stands for. Raises NotFound."""
    board: TaskBoard = request.app.state.resources.tasks
    return await board.find(code)


ChosenTask = Annotated[Task, Depends(chosen_task)]


@router.get("/annotate")
async def tasks(request: Request, session: Annotator) -> Response:
    async with calls():
        waiting = await request.app.state.resources.tasks.waiting(session.name)
    return page(request, "annotate_tasks.html", waiting=waiting)


@router.get("/annotate/{code}")
async def item(request: Request, session: Annotator, task: ChosenTask) -> Response:
    """Leases the next item, or the one that this annotator holds already, and shows it."""
    backends: Backends = request.app.state.resources.backends
    counted = judging_pb2.GetAnnotatorProgressRequest(parent=task.study, annotator=session.name)
    async with calls():
        progress, assigned = await asyncio.gather(
            backends.annotation.GetAnnotatorProgress(counted, timeout=PAGE_SECONDS), _assigned(backends, task, session)
        )
    if assigned is None:
        return page(request, "annotate_done.html", task=task, progress=progress)
    return page(
        request,
        "annotate.html",
        task=task,
        progress=progress,
        item=assigned,
        # The id alone: the whole name holds the study's, which may tell what it compares.
        item_id=last_part(assigned.name),
        skip_reasons=SKIP_REASONS,
        built_in=catalogue("en")[f"question.{task.protocol_key}"],
    )


@router.post("/annotate/{code}/submit")
async def submit(
    request: Request,
    session: Annotator,
    task: ChosenTask,
    item_id: Annotated[str, Form(max_length=200)],
    lease: Annotated[str, Form(max_length=500)],
    choice: Annotated[str, Form(max_length=40)] = "",
    seconds: Annotated[float, Form()] = 0.0,
    reasoning: Annotated[str, Form(max_length=10_000)] = "",
) -> Response:
    if not choice:
        raise InvalidInput("choice", choice, "must be one of those shown")
    backends: Backends = request.app.state.resources.backends
    verdict = judging_pb2.SubmitVerdictRequest(
        name=_item_name(task, item_id),
        lease=lease,
        annotator=session.name,
        choice=choice,
        reasoning=reasoning.replace("\r\n", "\n"),
        seconds=min(max(0.0, seconds), LONGEST_SECONDS),
    )
    async with calls():
        await backends.annotation.SubmitVerdict(verdict, timeout=WRITE_SECONDS)
    return done(request, f"/annotate/{task.code}")


@router.post("/annotate/{code}/skip")
async def skip(
    request: Request,
    session: Annotator,
    task: ChosenTask,
    item_id: Annotated[str, Form(max_length=200)],
    lease: Annotated[str, Form(max_length=500)],
    reason: Annotated[str, Form(max_length=500)],
) -> Response:
    backends: Backends = request.app.state.resources.backends
    skipped = judging_pb2.SkipItemRequest(
        name=_item_name(task, item_id), lease=lease, annotator=session.name, reason=reason.strip()
    )
    # An item that is not held any more, as after a lost answer to this same request, needs no skipping.
    with suppress(Conflict):
        async with calls():
            await backends.annotation.SkipItem(skipped, timeout=WRITE_SECONDS)
    return done(request, f"/annotate/{task.code}")


@router.post("/annotate/{code}/undo")
async def undo(request: Request, session: Annotator, task: ChosenTask) -> Response:
    """Takes the newest verdict back; its item is the next one shown."""
    backends: Backends = request.app.state.resources.backends
    asked = judging_pb2.UndoVerdictRequest(parent=task.study, annotator=session.name)
    async with calls():
        await backends.annotation.UndoVerdict(asked, timeout=WRITE_SECONDS)
    return done(request, f"/annotate/{task.code}")


async def _assigned(backends: Backends, task: Task, session: Session) -> judging_pb2.Item | None:
    """The annotator's item; None when none is left for them."""
    asked = judging_pb2.AssignItemRequest(parent=task.study, annotator=session.name)
    with suppress(NotFound, FailedPrecondition):
        async with calls():
            item: judging_pb2.Item = await backends.annotation.AssignItem(asked, timeout=PAGE_SECONDS)
            return item
    return None


def _item_name(task: Task, item_id: str) -> str:
    if "/" in item_id:
        raise InvalidInput("item_id", item_id, "must be an item's id, without slashes")
    return f"{task.study}/items/{item_id}"
