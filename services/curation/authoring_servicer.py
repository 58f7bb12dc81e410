"""AuthoringService over gRPC: translates messages, calls the domain."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from lima.curation.v1 import authoring_pb2, authoring_pb2_grpc, curation_pb2
from services.curation import translate
from services.curation.authoring import Authoring
from services.curation.corpora import Corpora
from services.curation.names import match_name, member_of, parent_of
from services.curation.style import style_report
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import Role, acting_person
from services.shared.rpc.server import Service

Context: TypeAlias = Any  # grpc.aio.ServicerContext, whose type parameters say nothing here
READS = ("GetDraft", "ListDrafts", "GetAuthoringProgress", "CheckStyle")
WRITES = ("CreateDraft", "UpdateDraft", "DeleteDraft", "SubmitDraft")
SUBMITTED = {authoring_pb2.DRAFT_STATE_OPEN: False, authoring_pb2.DRAFT_STATE_SUBMITTED: True}


class AuthoringServicer(authoring_pb2_grpc.AuthoringServiceServicer):
    def __init__(self, authoring: Authoring, corpora: Corpora) -> None:
        self._authoring = authoring
        self._corpora = corpora

    async def CreateDraft(self, request: authoring_pb2.CreateDraftRequest, context: Context) -> authoring_pb2.Draft:
        collection = parent_of("parent", request.parent, "collections")
        author = acting_person(request.draft.author, field="draft.author")
        draft = translate.draft_from(request.draft, collection, "", author)
        return translate.draft_to(await self._authoring.create(draft, request.request_id))

    async def GetDraft(self, request: authoring_pb2.GetDraftRequest, context: Context) -> authoring_pb2.Draft:
        return translate.draft_to(await self._authoring.get(*member_of("name", request.name, "collections", "drafts")))

    async def ListDrafts(
        self, request: authoring_pb2.ListDraftsRequest, context: Context
    ) -> authoring_pb2.ListDraftsResponse:
        query = [request.parent, request.author, request.group, request.state]
        size, position = page_size(request.page_size), decode_page_token(request.page_token, query=query)
        found = await self._authoring.drafts(
            parent_of("parent", request.parent, "collections"),
            author=request.author,
            group=request.group,
            submitted=SUBMITTED.get(request.state),
            before=(position[0], position[1]) if position else None,
            size=size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        token = encode_page_token([last.created, last.id], query=query) if last else ""
        return authoring_pb2.ListDraftsResponse(drafts=map(translate.draft_to, found[:size]), next_page_token=token)

    async def UpdateDraft(self, request: authoring_pb2.UpdateDraftRequest, context: Context) -> authoring_pb2.Draft:
        collection, name = member_of("draft.name", request.draft.name, "collections", "drafts")
        await self._own(collection, name)
        draft = translate.draft_from(request.draft, collection, name, request.draft.author)
        return translate.draft_to(await self._authoring.update(draft))

    async def DeleteDraft(
        self, request: authoring_pb2.DeleteDraftRequest, context: Context
    ) -> authoring_pb2.DeleteDraftResponse:
        collection, name = member_of("name", request.name, "collections", "drafts")
        await self._own(collection, name)
        await self._authoring.delete(collection, name, request.etag)
        return authoring_pb2.DeleteDraftResponse()

    async def SubmitDraft(self, request: authoring_pb2.SubmitDraftRequest, context: Context) -> authoring_pb2.Draft:
        collection, name = member_of("name", request.name, "collections", "drafts")
        await self._own(collection, name)
        return translate.draft_to(await self._authoring.submit(collection, name, request.etag))

    async def GetAuthoringProgress(
        self, request: authoring_pb2.GetAuthoringProgressRequest, context: Context
    ) -> authoring_pb2.AuthoringProgress:
        lines, by_author = await self._authoring.progress(parent_of("parent", request.parent, "collections"))
        return authoring_pb2.AuthoringProgress(quotas=map(translate.quota_to, lines), by_author=by_author)

    async def CheckStyle(self, request: authoring_pb2.CheckStyleRequest, context: Context) -> authoring_pb2.StyleReport:
        return translate.style_to(style_report(translate.turns_from(request.messages, "messages"), request.tags))

    async def PublishCollection(
        self, request: authoring_pb2.PublishCollectionRequest, context: Context
    ) -> curation_pb2.Corpus:
        collection = parent_of("name", request.name, "collections")
        lines = await self._authoring.published(collection)
        return await asyncio.to_thread(self._publish, match_name("corpus_id", request.corpus_id), collection, lines)

    def _publish(self, corpus: str, collection: str, lines: bytes) -> curation_pb2.Corpus:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / f"{collection}.jsonl").write_bytes(lines)
            return translate.corpus_to(self._corpora.put(corpus, Path(folder)))

    async def _own(self, collection: str, name: str) -> None:
        """People change their own drafts alone. Raises PermissionDenied."""
        acting_person((await self._authoring.get(collection, name)).author, field="author")


def authoring_service(servicer: AuthoringServicer) -> Service:
    return Service(
        authoring_pb2.DESCRIPTOR.services_by_name["AuthoringService"],
        authoring_pb2_grpc.add_AuthoringServiceServicer_to_server,
        servicer,
        roles={**dict.fromkeys(READS, Role.VIEWER), **dict.fromkeys(WRITES, Role.ANNOTATOR)},
    )
