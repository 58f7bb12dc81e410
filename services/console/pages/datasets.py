"""Datasets: what is in them, searching their examples, and where each example came from."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from lima.curation.v1 import curation_pb2
from services.console import security
from services.console.answers import calls
from services.console.backends import PAGE_SECONDS, Backends
from services.console.dataset_statistics import lengths, statistics_of
from services.console.funnels import bars_of
from services.console.gathering import settle
from services.console.sessions import Permission, Session
from services.console.views import page

router = APIRouter()
Reader = Annotated[Session, Depends(security.need(Permission.READ))]

LIST_SIZE = 50
EXAMPLES_SIZE = 25
MAX_QUERY = 200


@router.get("/datasets")
async def datasets(request: Request, _session: Reader, page_token: str = "") -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = curation_pb2.ListDatasetsRequest(page_size=LIST_SIZE, page_token=page_token)
    imported = curation_pb2.ListCorporaRequest(page_size=200)
    async with calls():
        answer, corpora = await asyncio.gather(
            backends.curation.ListDatasets(asked, timeout=PAGE_SECONDS),
            settle("corpora", backends.curation.ListCorpora(imported, timeout=PAGE_SECONDS)),
        )
    return page(
        request,
        "datasets.html",
        datasets=answer.datasets,
        next_page_token=answer.next_page_token,
        corpora=corpora.corpora if corpora else None,
    )


@router.get("/datasets/{name}/{digest}")
async def dataset(
    request: Request,
    name: str,
    digest: str,
    _session: Reader,
    split: str = "",
    source: str = "",
    query: str = "",
    page_token: str = "",
) -> Response:
    backends: Backends = request.app.state.resources.backends
    full_name = f"datasets/{name}/{digest}"
    asked = curation_pb2.ListExamplesRequest(
        parent=full_name,
        split=split,
        source=source,
        query=query[:MAX_QUERY],
        page_size=EXAMPLES_SIZE,
        page_token=page_token,
    )
    async with calls():
        found, examples, details = await asyncio.gather(
            backends.curation.GetDataset(curation_pb2.GetDatasetRequest(name=full_name), timeout=PAGE_SECONDS),
            backends.curation.ListExamples(asked, timeout=PAGE_SECONDS),
            settle("statistics", statistics_of(backends.store, full_name)),
        )
    sources = sorted({row.source for row in found.statistics} or {key.split("/")[0] for key in found.source_counts})
    filters = urlencode({"split": split, "source": source, "query": query})
    return page(
        request,
        "dataset.html",
        dataset=found,
        base=f"/datasets/{quote(name)}/{quote(digest)}",
        sources=sources,
        splits=("train", "dev", "test"),
        split=split,
        source=source,
        query=query,
        filters=filters,
        examples=examples.examples,
        next_page_token=examples.next_page_token,
        plots=[*_plots(found), *lengths(details or {})],
        licences=(details or {}).get("licences", {}),
    )


@router.get("/datasets/{name}/{digest}/funnel")
async def funnel(request: Request, name: str, digest: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    full_name = f"datasets/{name}/{digest}"
    async with calls():
        answer = await backends.curation.GetFunnel(curation_pb2.GetFunnelRequest(name=full_name), timeout=PAGE_SECONDS)
    back = f"/datasets/{quote(name)}/{quote(digest)}"
    return page(request, "funnel.html", name=f"{name}/{digest[:8]}", back=back, funnel=answer, bars=bars_of)


@router.get("/datasets/{name}/{digest}/examples/{example_id:path}")
async def example(request: Request, name: str, digest: str, example_id: str, _session: Reader) -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = curation_pb2.GetLineageRequest(name=f"datasets/{name}/{digest}/examples/{example_id}")
    async with calls():
        lineage = await backends.curation.GetLineage(asked, timeout=PAGE_SECONDS)
    return page(
        request,
        "example.html",
        lineage=lineage,
        example=lineage.example,
        provenance=_indented(lineage.example.provenance_json),
        back=f"/datasets/{quote(name)}/{quote(digest)}",
    )


def _plots(found: curation_pb2.Dataset) -> list[tuple[str, list[tuple[str, float]]]]:
    """Bars per source and split: how many, and how long. Each with the key of its title."""
    rows = [(f"{row.source} · {row.split}", row) for row in found.statistics]
    return [
        ("dataset.plot.examples", [(name, float(row.examples)) for name, row in rows]),
        ("dataset.plot.prompt", [(name, row.mean_prompt_tokens) for name, row in rows if row.mean_prompt_tokens]),
        ("dataset.plot.response", [(name, row.mean_response_tokens) for name, row in rows if row.mean_response_tokens]),
    ]


def _indented(text: str) -> str:
    try:
        value: Any = json.loads(text) if text else None
    except ValueError:
        return text
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
