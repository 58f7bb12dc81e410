"""The long-running operations of the service: each runs blocking work in a thread and tells how far it is.

All are idempotent: what they make is named by its inputs, so running again after a crash finds what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lima.curation.v1 import curation_pb2, review_pb2
from services.curation import translate
from services.curation.build import Accepted, Report
from services.curation.exports import Format
from services.curation.review_queues import ReviewQueues
from services.curation.spec import DatasetSpec
from services.curation.workshop import Resolved, Workshop
from services.shared.operations import OperationContext, Operations

FORMATS: dict[int, Format] = {
    curation_pb2.ExportDatasetRequest.FORMAT_JSONL: "jsonl",
    curation_pb2.ExportDatasetRequest.FORMAT_PARQUET: "parquet",
    curation_pb2.ExportDatasetRequest.FORMAT_HF_DATASETS: "hf_datasets",
}


class Handlers:
    def __init__(self, workshop: Workshop, queues: ReviewQueues) -> None:
        self._workshop = workshop
        self._queues = queues

    def register(self, operations: Operations) -> None:
        operations.register("import_corpus", self.import_corpus)
        operations.register("build_dataset", self.build_dataset)
        operations.register("fill_queue", self.fill_queue)
        operations.register("export_dataset", self.export_dataset)

    async def resolve(self, spec: DatasetSpec) -> Resolved:
        """A spec with the corpora and reviews of now. Raises NotFound if one is missing."""
        accepted: Mapping[str, Mapping[str, Accepted]] = {}
        if spec.review.required:
            accepted = await self._queues.accepted(spec.name)
        return await asyncio.to_thread(self._workshop.resolve, spec, accepted)

    async def import_corpus(
        self, context: OperationContext, request: curation_pb2.ImportCorpusRequest
    ) -> curation_pb2.Corpus:
        def report(stage: str, done: int, total: int) -> None:
            context.report_from_thread(stage=stage, done=done, total=total, unit="files")

        info = await asyncio.to_thread(self._workshop.corpora.add, request.corpus_id, request.source_uri, report)
        return translate.corpus_to(info)

    async def build_dataset(
        self, context: OperationContext, request: curation_pb2.BuildDatasetRequest
    ) -> curation_pb2.Dataset:
        resolved = await self.resolve(translate.spec_from(request.spec))
        manifest = await asyncio.to_thread(self._workshop.build, resolved, _reporter(context))
        return translate.dataset_to(manifest, self._workshop.datasets.uri(manifest))

    async def fill_queue(self, context: OperationContext, request: review_pb2.FillQueueRequest) -> review_pb2.Queue:
        spec = translate.spec_from(request.spec)
        entries, funnels = await asyncio.to_thread(self._workshop.queue_entries, spec, _reporter(context))
        wanted = {source.name: source.quota.total for source in spec.sources}
        await self._queues.fill(spec.name, spec.review.overlap, wanted, funnels, entries)
        return translate.queue_to(await self._queues.info(spec.name))

    async def export_dataset(
        self, context: OperationContext, request: curation_pb2.ExportDatasetRequest
    ) -> curation_pb2.ExportDatasetResult:
        manifest = await asyncio.to_thread(self._workshop.datasets.find, request.name)
        form = FORMATS[request.format]
        await context.report(stage=f"writing {form}")
        uri, count = await asyncio.to_thread(self._workshop.export, manifest, form, request.destination_uri)
        return curation_pb2.ExportDatasetResult(uri=uri, file_count=count)


def _reporter(context: OperationContext) -> Report:
    def report(stage: str, done: int, total: int, unit: str, counts: Mapping[str, int]) -> None:
        context.report_from_thread(stage=stage, done=done, total=total, unit=unit, counts=counts)

    return report
