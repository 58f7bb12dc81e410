"""Studies: how far judges and annotators are, what comes out so far, and the report."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from lima.judging.v1 import judging_pb2, study_pb2
from services.console import security
from services.console.answers import calls, done
from services.console.backends import PAGE_SECONDS, WRITE_SECONDS, Backends
from services.console.loop import Loop
from services.console.sessions import Permission, Session
from services.console.tasks import code_of, protocol_key
from services.console.views import page

router = APIRouter()
Reader = Annotated[Session, Depends(security.need(Permission.READ))]
Operator = Annotated[Session, Depends(security.need(Permission.OPERATE))]

LIST_SIZE = 50
# Aggregating a million verdicts takes seconds; the page is there at once, this part of it follows.
RESULTS_SECONDS = 300.0
MAX_REPORT_BYTES = 64 << 20
# The report is one file with its own styles. It runs no script, loads nothing and reaches nothing.
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@router.get("/studies")
async def studies(request: Request, _session: Reader, page_token: str = "") -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = judging_pb2.ListStudiesRequest(page_size=LIST_SIZE, page_token=page_token)
    async with calls():
        answer = await backends.judging.ListStudies(asked, timeout=PAGE_SECONDS)
    return page(
        request,
        "studies.html",
        studies=answer.studies,
        next_page_token=answer.next_page_token,
        protocol_key=protocol_key,
        state_key=_state_key,
    )


@router.get("/studies/{study}")
async def study_page(request: Request, study: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = judging_pb2.GetStudyRequest(name=f"studies/{study}")
    async with calls():
        found, report = await asyncio.gather(
            backends.judging.GetStudy(asked, timeout=PAGE_SECONDS), _report_version(backends, study)
        )
    return page(
        request,
        "study.html",
        study=found,
        base=f"/studies/{quote(study)}",
        part=f"/parts/studies/{quote(study)}",
        report=report,
        task=code_of(request.app.state.doors.secret, found.name),
        protocol_key=protocol_key,
        state_key=_state_key,
    )


@router.get("/parts/studies/{study}/progress")
async def progress_part(request: Request, study: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    loop: Loop = request.app.state.resources.loop
    asked = judging_pb2.GetStudyProgressRequest(name=f"studies/{study}")
    async with calls():
        progress, work = await asyncio.gather(
            backends.judging.GetStudyProgress(asked, timeout=PAGE_SECONDS), loop.work()
        )
    mine = [one for one in work if one.target == f"studies/{study}"]
    return page(request, "study_progress.html", progress=progress, work=mine)


@router.get("/parts/studies/{study}/results")
async def results_part(request: Request, study: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        results = await backends.judging.GetResults(
            judging_pb2.GetResultsRequest(name=f"studies/{study}"), timeout=RESULTS_SECONDS
        )
    return page(request, "study_results.html", results=results)


@router.get("/parts/studies/{study}/report")
async def report_part(request: Request, study: str, _session: Reader, seen: str = "") -> Response:
    """The report once it is there; nothing while it is the one that is shown."""
    report = await _report_version(request.app.state.resources.backends, study)
    if report == seen:
        return Response(status_code=204)
    return page(request, "study_report.html", report=report, base=f"/studies/{quote(study)}")


@router.post("/studies/{study}/run")
async def run(request: Request, study: str, _session: Operator) -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        await backends.judging.RunStudy(judging_pb2.RunStudyRequest(name=f"studies/{study}"), timeout=WRITE_SECONDS)
    return done(request, f"/studies/{quote(study)}")


@router.post("/studies/{study}/report")
async def make_report(request: Request, study: str, _session: Operator) -> Response:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        await backends.judging.CreateReport(
            judging_pb2.CreateReportRequest(name=f"studies/{study}"), timeout=WRITE_SECONDS
        )
    return done(request, f"/studies/{quote(study)}")


@router.get("/studies/{study}/report.html")
async def report(request: Request, study: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    content = await asyncio.to_thread(backends.store.get_bytes, _report_key(study), MAX_REPORT_BYTES)
    headers = {"content-security-policy": REPORT_POLICY}
    return HTMLResponse(content, headers=headers)


async def _report_version(backends: Backends, study: str) -> str:
    """Changes with every report that is written; empty before the first."""
    info = await asyncio.to_thread(backends.store.stat, _report_key(study))
    return info.etag if info else ""


def _report_key(study: str) -> str:
    return f"studies/{study}/report.html"


def _state_key(study: study_pb2.Study) -> str:
    return str(study_pb2.Study.State.Name(study.state)).removeprefix("STATE_").lower()
