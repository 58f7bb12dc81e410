"""Fine-tuning runs, live: curves, checkpoints, the resolved spec, and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup

from lima.judging.v1 import judging_pb2
from services.console import security
from services.console.answers import done
from services.console.backends import PAGE_SECONDS, Backends
from services.console.catalogue import Translator
from services.console.charts import Series, line_chart
from services.console.gathering import settle
from services.console.runs import ENDED, Metrics, RunShelf
from services.console.sessions import Permission, Session
from services.console.views import page, translator_of
from services.shared.records import MetricsRow

router = APIRouter()
Reader = Annotated[Session, Depends(security.need(Permission.READ))]
Operator = Annotated[Session, Depends(security.need(Permission.OPERATE))]

# Fields of MetricsRow that are drawn for each optimiser step.
STEP_CURVES = ("loss", "learning_rate", "gradient_norm", "tokens_per_second")


@router.get("/runs")
async def runs(request: Request, _session: Reader) -> Response:
    return page(request, "runs.html", runs=await request.app.state.resources.runs.all(), ended=ENDED)


@router.get("/runs/{run}")
async def run_page(request: Request, run: str, _session: Reader) -> Response:
    values = await _values(request, run)
    shelf: RunShelf = request.app.state.resources.runs
    return page(request, "run.html", **values, specification=await shelf.specification(run), base=f"/runs/{quote(run)}")


@router.get("/parts/runs/{run}")
async def run_part(request: Request, run: str, _session: Reader) -> Response:
    return page(request, "run_live.html", **await _values(request, run))


@router.post("/runs/{run}/cancel")
async def cancel(request: Request, run: str, session: Operator) -> Response:
    await request.app.state.resources.runs.ask_to_cancel(run, by=session.name)
    return done(request, f"/runs/{quote(run)}")


async def _values(request: Request, run: str) -> dict[str, Any]:
    shelf: RunShelf = request.app.state.resources.runs
    status = await shelf.status(run)
    metrics, log, checkpoints, asked, quality = await asyncio.gather(
        shelf.metrics(run),
        shelf.log_tail(run),
        shelf.checkpoints(run),
        shelf.cancel_asked(run),
        settle("selection", _quality(request.app.state.resources.backends, run)),
    )
    return {
        "run": status,
        "ended": status.phase in ENDED,
        "metrics": metrics,
        "log": log,
        "checkpoints": checkpoints,
        "cancel_asked": asked,
        "quality": quality,
        "curves": curves(translator_of(request), metrics, quality[1] if quality else []),
    }


def curves(t: Translator, metrics: Metrics, quality: Sequence[Series]) -> list[Markup]:
    """The charts that have something to show: per step, then perplexity and quality per epoch."""
    drawn = [line_chart(t(f"run.curve.{name}"), [Series("", _points(metrics.steps, name))]) for name in STEP_CURVES]
    perplexity = [(row.epoch, row.perplexity) for row in metrics.evaluations if row.perplexity is not None]
    drawn.append(line_chart(t("run.curve.perplexity"), [Series("", perplexity)]))
    drawn.append(line_chart(t("run.curve.quality"), quality))
    return [chart for chart in drawn if chart]


def _points(rows: tuple[MetricsRow, ...], name: str) -> list[tuple[float, float]]:
    values = ((float(row.step), getattr(row, name)) for row in rows)
    return [(step, value) for step, value in values if value is not None]


async def _quality(backends: Backends, run: str) -> tuple[str, list[Series]] | None:
    """The study that selects among the run's checkpoints, with each judge's word on every epoch.

    Mean scores, or the strengths where epochs were compared with each other.
    """
    answer = await backends.judging.ListStudies(judging_pb2.ListStudiesRequest(page_size=200), timeout=PAGE_SECONDS)
    study = next((one for one in answer.studies if one.spec.selection.run == f"runs/{run}"), None)
    if study is None:
        return None
    results = await backends.judging.GetResults(judging_pb2.GetResultsRequest(name=study.name), timeout=PAGE_SECONDS)
    judged = [(one.judge, one.system, one.mean.value) for one in results.scores]
    judged += [(one.judge, one.system, one.log_odds.value) for one in results.strengths]
    by_judge: dict[str, list[tuple[float, float]]] = {}
    for judge, system, value in judged:
        epoch = _epoch(system)
        if epoch is not None:
            by_judge.setdefault(judge, []).append((epoch, value))
    return study.name, [Series(judge, sorted(points)) for judge, points in by_judge.items()]


def _epoch(system: str) -> float | None:
    """The epoch in a system's name.

    >>> _epoch("epoch-07"), _epoch("base")
    (7.0, None)
    """
    tail = system.rpartition("epoch-")[2]
    return float(tail) if tail.isdecimal() and tail != system else None
