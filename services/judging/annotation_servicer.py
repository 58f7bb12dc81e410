"""AnnotationService over gRPC: what people who judge see and send. No name of a system passes here."""

from __future__ import annotations

from typing import Any

from lima.common.v1 import message_pb2
from lima.judging.v1 import judging_pb2, judging_pb2_grpc
from services.judging.assignments import Assignment, Assignments
from services.judging.repository import StudyRepository
from services.judging.study import StudySpec
from services.judging.translate import from_progress, item_id, item_name, study_id
from services.shared.records import Turn
from services.shared.rpc.principal import Role, acting_person
from services.shared.rpc.server import Service

METHODS = ("AssignItem", "SubmitVerdict", "SkipItem", "UndoVerdict", "GetAnnotatorProgress")


class AnnotationServicer(judging_pb2_grpc.AnnotationServiceServicer):
    def __init__(self, repository: StudyRepository) -> None:
        self._repository = repository
        self._assignments = Assignments(repository)

    async def AssignItem(self, request: judging_pb2.AssignItemRequest, context: Any) -> judging_pb2.Item:
        spec = await self._repository.spec(study_id(request.parent, "parent"))
        return _item(spec, await self._assignments.assign(spec, acting_person(request.annotator)))

    async def SubmitVerdict(
        self, request: judging_pb2.SubmitVerdictRequest, context: Any
    ) -> judging_pb2.SubmitVerdictResponse:
        study, item = item_id(request.name)
        spec, annotator = await self._repository.spec(study), acting_person(request.annotator)
        progress = await self._assignments.submit(
            spec, item, request.lease, annotator, request.choice, request.reasoning, request.seconds
        )
        return judging_pb2.SubmitVerdictResponse(progress=from_progress(progress))

    async def SkipItem(self, request: judging_pb2.SkipItemRequest, context: Any) -> judging_pb2.SkipItemResponse:
        study, item = item_id(request.name)
        spec, annotator = await self._repository.spec(study), acting_person(request.annotator)
        progress = await self._assignments.skip(spec, item, request.lease, annotator, request.reason)
        return judging_pb2.SkipItemResponse(progress=from_progress(progress))

    async def UndoVerdict(self, request: judging_pb2.UndoVerdictRequest, context: Any) -> judging_pb2.Item:
        spec = await self._repository.spec(study_id(request.parent, "parent"))
        return _item(spec, await self._assignments.undo(spec, acting_person(request.annotator)))

    async def GetAnnotatorProgress(
        self, request: judging_pb2.GetAnnotatorProgressRequest, context: Any
    ) -> judging_pb2.AnnotatorProgress:
        spec = await self._repository.spec(study_id(request.parent, "parent"))
        return from_progress(await self._assignments.progress(spec, acting_person(request.annotator)))


def _item(spec: StudySpec, assignment: Assignment) -> judging_pb2.Item:
    item = assignment.item
    shown = item.answers if assignment.first_on_a else item.answers[::-1]
    return judging_pb2.Item(
        name=item_name(spec.name, item.id),
        protocol=f"PROTOCOL_{spec.protocol.value.upper()}",
        prompt=_messages(item.prompt),
        sides=[judging_pb2.Side(messages=_messages(turns)) for turns in shown],
        lease=assignment.lease,
        lease_seconds=assignment.seconds,
        instructions=spec.rules.question,
        choices=spec.rules.choices,
    )


def _messages(turns: tuple[Turn, ...]) -> list[message_pb2.Message]:
    return [message_pb2.Message(role=turn.role, content=turn.content) for turn in turns]


def annotation_service(servicer: AnnotationServicer) -> Service:
    return Service(
        judging_pb2.DESCRIPTOR.services_by_name["AnnotationService"],
        judging_pb2_grpc.add_AnnotationServiceServicer_to_server,
        servicer,
        roles=dict.fromkeys(METHODS, Role.ANNOTATOR),
    )
