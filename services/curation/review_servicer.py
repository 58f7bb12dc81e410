"""ReviewService over gRPC: translates messages, calls the domain."""

from __future__ import annotations

from typing import Any, TypeAlias

from google.longrunning.operations_pb2 import Operation

from lima.curation.v1 import review_pb2, review_pb2_grpc
from services.curation import translate
from services.curation.names import member_of, parent_of
from services.curation.review_queues import ReviewQueues
from services.shared.operations import Operations
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import Role, acting_person
from services.shared.rpc.server import Service

Context: TypeAlias = Any  # grpc.aio.ServicerContext, whose type parameters say nothing here
READS = ("ListQueues", "ListCandidates", "GetCandidate", "GetReviewProgress")
DECIDES = ("AssignCandidate", "SubmitReview", "UndoReview")


class ReviewServicer(review_pb2_grpc.ReviewServiceServicer):
    def __init__(self, queues: ReviewQueues, operations: Operations) -> None:
        self._queues = queues
        self._operations = operations

    async def FillQueue(self, request: review_pb2.FillQueueRequest, context: Context) -> Operation:
        spec = translate.spec_from(request.spec)
        return await self._operations.start(
            "fill_queue", request, target=f"queues/{spec.name}", request_id=request.request_id
        )

    async def ListQueues(
        self, request: review_pb2.ListQueuesRequest, context: Context
    ) -> review_pb2.ListQueuesResponse:
        size, after = page_size(request.page_size), decode_page_token(request.page_token, query="queues") or ""
        found = await self._queues.queues(after, size + 1)
        token = encode_page_token(found[size - 1].name, query="queues") if len(found) > size else ""
        return review_pb2.ListQueuesResponse(queues=map(translate.queue_to, found[:size]), next_page_token=token)

    async def ListCandidates(
        self, request: review_pb2.ListCandidatesRequest, context: Context
    ) -> review_pb2.ListCandidatesResponse:
        query = [request.parent, request.source, request.state]
        size, after = page_size(request.page_size), decode_page_token(request.page_token, query=query)
        queue = parent_of("parent", request.parent, "queues")
        found = await self._queues.candidates(
            queue, source=request.source, state=request.state, after=-1 if after is None else after, size=size + 1
        )
        token = encode_page_token(found[size - 1].rank, query=query) if len(found) > size else ""
        page = [translate.candidate_to(queued) for queued in found[:size]]
        return review_pb2.ListCandidatesResponse(candidates=page, next_page_token=token)

    async def GetCandidate(self, request: review_pb2.GetCandidateRequest, context: Context) -> review_pb2.Candidate:
        return translate.candidate_to(await self._queues.get(*member_of("name", request.name, "queues", "candidates")))

    async def AssignCandidate(
        self, request: review_pb2.AssignCandidateRequest, context: Context
    ) -> review_pb2.Candidate:
        queue = parent_of("parent", request.parent, "queues")
        reviewer = acting_person(request.reviewer, field="reviewer")
        return translate.candidate_to(await self._queues.assign(queue, reviewer, request.source))

    async def SubmitReview(self, request: review_pb2.SubmitReviewRequest, context: Context) -> review_pb2.Candidate:
        queue, candidate = member_of("name", request.name, "queues", "candidates")
        review = translate.review_from(request.review, acting_person(request.review.reviewer, field="review.reviewer"))
        return translate.candidate_to(await self._queues.submit(queue, candidate, request.etag, review))

    async def UndoReview(self, request: review_pb2.UndoReviewRequest, context: Context) -> review_pb2.Candidate:
        queue = parent_of("parent", request.parent, "queues")
        return translate.candidate_to(await self._queues.undo(queue, acting_person(request.reviewer, field="reviewer")))

    async def GetReviewProgress(
        self, request: review_pb2.GetReviewProgressRequest, context: Context
    ) -> review_pb2.ReviewProgress:
        info = await self._queues.info(parent_of("parent", request.parent, "queues"))
        return translate.progress_to(info.progress)


def review_service(servicer: ReviewServicer) -> Service:
    return Service(
        review_pb2.DESCRIPTOR.services_by_name["ReviewService"],
        review_pb2_grpc.add_ReviewServiceServicer_to_server,
        servicer,
        roles={**dict.fromkeys(READS, Role.VIEWER), **dict.fromkeys(DECIDES, Role.ANNOTATOR)},
    )
