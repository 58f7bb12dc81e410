"""JudgingService over gRPC: translation only."""

from __future__ import annotations

import asyncio
from typing import Any

from google.longrunning import operations_pb2

from lima.judging.v1 import judging_pb2, judging_pb2_grpc, study_pb2
from services.judging.assignments import Assignments
from services.judging.exports import export_verdicts
from services.judging.imports import import_responses, import_verdicts
from services.judging.report.writer import write_report
from services.judging.splits import confirm, propose
from services.judging.studies import Studies
from services.judging.translate import (
    from_computed,
    from_judge_progress,
    from_progress,
    from_split,
    from_study,
    from_verdict,
    study_id,
    to_spec,
)
from services.shared.errors import InvalidInput
from services.shared.operations import OperationContext, Operations
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc import principal
from services.shared.rpc.principal import Role
from services.shared.rpc.server import Service

RUN = "run_study"
REPORT = "create_report"
READING = (
    "GetStudy", "ListStudies", "GetStudyProgress", "ListVerdicts", "GetResults", "ProposeSplit",
)  # fmt: skip
_STATES = ("", "ok", "unparsable", "failed", "skipped")


class JudgingServicer(judging_pb2_grpc.JudgingServiceServicer):
    def __init__(self, studies: Studies, operations: Operations) -> None:
        self._studies = studies
        self._operations = operations
        self._assignments = Assignments(studies.repository)
        operations.register(RUN, self._run)
        operations.register(REPORT, self._report)

    async def CreateStudy(self, request: judging_pb2.CreateStudyRequest, context: Any) -> study_pb2.Study:
        return from_study(await self._studies.create(to_spec(request.spec), request.request_id))

    async def GetStudy(self, request: judging_pb2.GetStudyRequest, context: Any) -> study_pb2.Study:
        return from_study(await self._studies.repository.get(study_id(request.name)))

    async def ListStudies(
        self, request: judging_pb2.ListStudiesRequest, context: Any
    ) -> judging_pb2.ListStudiesResponse:
        size = page_size(request.page_size)
        after = decode_page_token(request.page_token, query="studies") or ""
        found = await self._studies.repository.page(str(after), size + 1)
        more = encode_page_token(found[size - 1].spec.name, query="studies") if len(found) > size else ""
        return judging_pb2.ListStudiesResponse(studies=map(from_study, found[:size]), next_page_token=more)

    async def DeleteStudy(self, request: judging_pb2.DeleteStudyRequest, context: Any) -> study_pb2.Study:
        name = study_id(request.name)
        study = await self._studies.repository.get(name)
        await self._studies.repository.delete(name)
        return from_study(study)

    async def RunStudy(self, request: judging_pb2.RunStudyRequest, context: Any) -> operations_pb2.Operation:
        await self._studies.repository.get(study_id(request.name))
        return await self._operations.start(RUN, request, target=request.name, request_id=request.request_id)

    async def _run(self, context: OperationContext, request: judging_pb2.RunStudyRequest) -> judging_pb2.Results:
        async def report(judge: str, done: int, total: int, counts: dict[str, int]) -> None:
            await context.report(stage=f"asking {judge}", done=done, total=total, unit="verdicts", counts=counts)

        name = study_id(request.name)
        await self._studies.run(name, report)
        return from_computed(await self._studies.current(name))

    async def ListVerdicts(
        self, request: judging_pb2.ListVerdictsRequest, context: Any
    ) -> judging_pb2.ListVerdictsResponse:
        name = study_id(request.parent, "parent")
        if request.state not in _STATES:
            raise InvalidInput("state", request.state, f"must be empty or one of {', '.join(_STATES[1:])}")
        await self._studies.repository.get(name)
        size = page_size(request.page_size)
        query = [name, request.judge, request.state]
        after = decode_page_token(request.page_token, query=query) or 0
        found = await self._studies.repository.verdicts(
            name, judge=request.judge, state=request.state, after=int(after), limit=size + 1
        )
        more = encode_page_token(int(found[size - 1].id), query=query) if len(found) > size else ""
        return judging_pb2.ListVerdictsResponse(verdicts=map(from_verdict, found[:size]), next_page_token=more)

    async def GetStudyProgress(
        self, request: judging_pb2.GetStudyProgressRequest, context: Any
    ) -> judging_pb2.StudyProgress:
        name = study_id(request.name)
        judges = await self._studies.progress(name)
        people = await self._assignments.everyone(name)
        return judging_pb2.StudyProgress(judges=map(from_judge_progress, judges), annotators=map(from_progress, people))

    async def ImportVerdicts(
        self, request: judging_pb2.ImportVerdictsRequest, context: Any
    ) -> judging_pb2.ImportVerdictsResponse:
        studies = self._studies
        outcome = await import_verdicts(
            studies.repository,
            studies.store,
            study_id(request.name),
            request.source_uri,
            request.format,
            request.systems,
        )
        return judging_pb2.ImportVerdictsResponse(
            imported=outcome.imported, skipped=outcome.skipped, problems=outcome.problems
        )

    async def ImportResponses(
        self, request: judging_pb2.ImportResponsesRequest, context: Any
    ) -> judging_pb2.ImportResponsesResponse:
        found = await asyncio.to_thread(
            import_responses, self._studies.store, request.source_uri, request.format, request.prompts_uri
        )
        systems = [study_pb2.System(name=each.name, responses_uri=each.responses_uri) for each in found.systems]
        return judging_pb2.ImportResponsesResponse(systems=systems, problems=found.problems)

    async def ExportVerdicts(
        self, request: judging_pb2.ExportVerdictsRequest, context: Any
    ) -> judging_pb2.ExportVerdictsResponse:
        studies = self._studies
        done = await export_verdicts(studies.repository, studies.store, study_id(request.name), request.format)
        return judging_pb2.ExportVerdictsResponse(uri=done.uri, exported=done.exported, excluded=done.excluded)

    async def GetResults(self, request: judging_pb2.GetResultsRequest, context: Any) -> judging_pb2.Results:
        name = study_id(request.name)
        if request.current:
            return from_computed(await self._studies.current(name))
        computed, study = await self._studies.latest(name)
        return from_computed(computed, study.changes - computed.changes)

    async def ProposeSplit(self, request: judging_pb2.ProposeSplitRequest, context: Any) -> judging_pb2.Split:
        studies, threshold = self._studies, request.threshold if request.HasField("threshold") else None
        name = study_id(request.name)
        return from_split(name, await propose(studies.repository, studies.store, name, request.dataset_uri, threshold))

    async def ConfirmSplit(self, request: judging_pb2.ConfirmSplitRequest, context: Any) -> judging_pb2.Split:
        studies, threshold = self._studies, request.threshold if request.HasField("threshold") else None
        name = study_id(request.name)
        found = await confirm(
            studies.repository,
            studies.store,
            name,
            request.dataset_uri,
            threshold,
            request.out_of_distribution,
            principal.current().name,
        )
        return from_split(name, found)

    async def CreateReport(self, request: judging_pb2.CreateReportRequest, context: Any) -> operations_pb2.Operation:
        await self._studies.repository.get(study_id(request.name))
        return await self._operations.start(REPORT, request, target=request.name)

    async def _report(self, context: OperationContext, request: judging_pb2.CreateReportRequest) -> judging_pb2.Report:
        await context.report(stage="writing the report")
        name = study_id(request.name)
        written = await write_report(self._studies, name, request.context_json)
        return judging_pb2.Report(study=request.name, html_uri=written.html_uri, json_uri=written.json_uri)


def judging_service(servicer: JudgingServicer) -> Service:
    return Service(
        judging_pb2.DESCRIPTOR.services_by_name["JudgingService"],
        judging_pb2_grpc.add_JudgingServiceServicer_to_server,
        servicer,
        roles=dict.fromkeys(READING, Role.VIEWER),
    )
