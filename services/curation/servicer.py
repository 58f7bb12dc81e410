"""CurationService over gRPC: translates messages, calls the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from google.longrunning.operations_pb2 import Operation

from lima.curation.v1 import curation_pb2, curation_pb2_grpc
from services.curation import translate
from services.curation.browsing import ExampleShelf
from services.curation.handlers import Handlers
from services.curation.names import match_name
from services.curation.review_queues import ReviewQueues
from services.curation.workshop import Workshop
from services.shared.errors import InvalidInput
from services.shared.operations import Operations
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import Role
from services.shared.rpc.server import Service

Context: TypeAlias = Any  # grpc.aio.ServicerContext, whose type parameters say nothing here
STREAM_BATCH = 256
READS = (
    "GetCorpus",
    "ListCorpora",
    "ResolveDataset",
    "GetDataset",
    "ListDatasets",
    "ListExamples",
    "StreamExamples",
    "GetFunnel",
    "GetLineage",
)


class CurationServicer(curation_pb2_grpc.CurationServiceServicer):
    def __init__(self, workshop: Workshop, queues: ReviewQueues, operations: Operations, handlers: Handlers) -> None:
        self._workshop = workshop
        self._queues = queues
        self._operations = operations
        self._handlers = handlers
        self._shelf = ExampleShelf(workshop.datasets)

    async def ImportCorpus(self, request: curation_pb2.ImportCorpusRequest, context: Context) -> Operation:
        match_name("corpus_id", request.corpus_id)
        if not request.source_uri:
            raise InvalidInput(
                "source_uri", "", "must be s3://bucket/prefix, an http(s) address, or a folder below an allowed root"
            )
        target = f"corpora/{request.corpus_id}"
        return await self._operations.start("import_corpus", request, target=target, request_id=request.request_id)

    async def GetCorpus(self, request: curation_pb2.GetCorpusRequest, context: Context) -> curation_pb2.Corpus:
        name, _, digest = request.name.removeprefix("corpora/").partition("/")
        return translate.corpus_to(await asyncio.to_thread(self._workshop.corpora.find, name, digest))

    async def ListCorpora(
        self, request: curation_pb2.ListCorporaRequest, context: Context
    ) -> curation_pb2.ListCorporaResponse:
        size, after = page_size(request.page_size), decode_page_token(request.page_token, query="corpora")
        names = await asyncio.to_thread(self._workshop.corpora.names)
        page = [name for name in names if after is None or name > after][: size + 1]
        corpora = [
            translate.corpus_to(info)
            for name in page[:size]
            for info in await asyncio.to_thread(list, self._workshop.corpora.versions(name))
        ]
        token = encode_page_token(page[size - 1], query="corpora") if len(page) > size else ""
        return curation_pb2.ListCorporaResponse(corpora=corpora, next_page_token=token)

    async def BuildDataset(self, request: curation_pb2.BuildDatasetRequest, context: Context) -> Operation:
        spec = translate.spec_from(request.spec)
        # A corpus that is missing is told now, not by an operation that fails later.
        await self._handlers.resolve(spec)
        return await self._operations.start(
            "build_dataset", request, target=f"datasets/{spec.name}", request_id=request.request_id
        )

    async def ResolveDataset(
        self, request: curation_pb2.ResolveDatasetRequest, context: Context
    ) -> curation_pb2.ResolveDatasetResponse:
        resolved = await self._handlers.resolve(translate.spec_from(request.spec))
        name = resolved.spec.name
        manifest = await asyncio.to_thread(self._workshop.datasets.manifest, name, resolved.digest)
        return curation_pb2.ResolveDatasetResponse(
            name=f"datasets/{name}/{resolved.digest}",
            exists=manifest is not None,
            spec=translate.spec_to(resolved.spec),
        )

    async def GetDataset(self, request: curation_pb2.GetDatasetRequest, context: Context) -> curation_pb2.Dataset:
        return self._dataset(await self._find(request.name))

    async def ListDatasets(
        self, request: curation_pb2.ListDatasetsRequest, context: Context
    ) -> curation_pb2.ListDatasetsResponse:
        size, after = page_size(request.page_size), decode_page_token(request.page_token, query="datasets")
        names = await asyncio.to_thread(self._workshop.datasets.all_names)
        page = [name for name in names if after is None or list(name) > after][: size + 1]
        found = await asyncio.to_thread(lambda: [self._workshop.datasets.manifest(*name) for name in page[:size]])
        token = encode_page_token(list(page[size - 1]), query="datasets") if len(page) > size else ""
        datasets = [self._dataset(manifest) for manifest in found if manifest is not None]
        return curation_pb2.ListDatasetsResponse(datasets=datasets, next_page_token=token)

    async def ListExamples(
        self, request: curation_pb2.ListExamplesRequest, context: Context
    ) -> curation_pb2.ListExamplesResponse:
        query = [request.parent, request.split, request.source, request.query]
        size, start = page_size(request.page_size), decode_page_token(request.page_token, query=query) or 0
        manifest = await self._find(request.parent)
        examples = await asyncio.to_thread(
            self._shelf.page,
            manifest,
            start,
            size + 1,
            split=request.split,
            source=request.source,
            query=request.query,
        )
        token = encode_page_token(start + size, query=query) if len(examples) > size else ""
        page = [translate.example_to(example) for example in examples[:size]]
        return curation_pb2.ListExamplesResponse(examples=page, next_page_token=token)

    async def StreamExamples(
        self, request: curation_pb2.StreamExamplesRequest, context: Context
    ) -> AsyncIterator[curation_pb2.StreamExamplesResponse]:
        manifest = await self._find(request.parent)
        examples = self._workshop.datasets.examples(manifest, request.split)
        while batch := await asyncio.to_thread(lambda: list(islice(examples, STREAM_BATCH))):
            for example in batch:
                yield curation_pb2.StreamExamplesResponse(example=translate.example_to(example))

    async def GetFunnel(self, request: curation_pb2.GetFunnelRequest, context: Context) -> curation_pb2.Funnel:
        if request.name.startswith("queues/"):
            return translate.funnel_to((await self._queues.info(request.name.removeprefix("queues/"))).funnels)
        manifest = await self._find(request.name)
        return translate.funnel_to(await asyncio.to_thread(self._workshop.datasets.funnels, manifest))

    async def GetLineage(self, request: curation_pb2.GetLineageRequest, context: Context) -> curation_pb2.Lineage:
        parent, found, name = request.name.partition("/examples/")
        if not found or not name:
            raise InvalidInput("name", request.name, 'must be "datasets/<name>/<digest>/examples/<id>"')
        manifest = await self._find(parent)
        return translate.lineage_to(await asyncio.to_thread(self._shelf.example, manifest, name))

    async def ExportDataset(self, request: curation_pb2.ExportDatasetRequest, context: Context) -> Operation:
        manifest = await self._find(request.name)
        if request.format == curation_pb2.ExportDatasetRequest.FORMAT_UNSPECIFIED:
            raise InvalidInput(
                "format", "FORMAT_UNSPECIFIED", "must be FORMAT_JSONL, FORMAT_PARQUET or FORMAT_HF_DATASETS"
            )
        return await self._operations.start("export_dataset", request, target=self._workshop.datasets.key(manifest))

    async def _find(self, name: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._workshop.datasets.find, name)

    def _dataset(self, manifest: Mapping[str, Any]) -> curation_pb2.Dataset:
        return translate.dataset_to(manifest, self._workshop.datasets.uri(manifest))


def curation_service(servicer: CurationServicer) -> Service:
    return Service(
        curation_pb2.DESCRIPTOR.services_by_name["CurationService"],
        curation_pb2_grpc.add_CurationServiceServicer_to_server,
        servicer,
        roles=dict.fromkeys(READS, Role.VIEWER),
    )
