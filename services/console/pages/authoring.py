"""Writing examples: drafts that are saved as one types, quotas, style remarks, dialogues."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import JSONResponse, Response

from lima.common.v1 import message_pb2
from lima.curation.v1 import authoring_pb2, review_pb2
from services.console import security
from services.console.answers import calls, done
from services.console.backends import PAGE_SECONDS, WRITE_SECONDS, Backends
from services.console.catalogue import Translator, term
from services.console.gathering import settle
from services.console.sessions import Permission, Session
from services.console.views import last_part, page, translator_of
from services.shared.errors import Conflict, InvalidInput, PermissionDenied

router = APIRouter()
Author = Annotated[Session, Depends(security.need(Permission.TASKS))]

COLLECTION = "collections/authored"
# What authors may set by hand; other tags stay as they are.
TAGS = ("sensitive", "refusal", "dialogue")
# Group and the splits that it writes for, as the paper has them.
SPLITS = {"A": ("train", "dev"), "B": ("test",)}
MAX_TURN = 100_000
MAX_TURNS = 40


@router.get("/author")
async def drafts(request: Request, session: Author, page_token: str = "") -> Response:
    backends: Backends = request.app.state.resources.backends
    asked = authoring_pb2.ListDraftsRequest(parent=COLLECTION, author=session.name, page_size=50, page_token=page_token)
    counted = authoring_pb2.GetAuthoringProgressRequest(parent=COLLECTION)
    async with calls():
        answer, progress = await asyncio.gather(
            backends.authoring.ListDrafts(asked, timeout=PAGE_SECONDS),
            settle("quotas", backends.authoring.GetAuthoringProgress(counted, timeout=PAGE_SECONDS)),
        )
    return page(
        request,
        "author.html",
        drafts=answer.drafts,
        next_page_token=answer.next_page_token,
        quotas=progress.quotas if progress else [],
        splits=SPLITS,
    )


@router.post("/author/new")
async def new(
    request: Request,
    session: Author,
    group: Annotated[str, Form()] = "A",
    split: Annotated[str, Form()] = "train",
    kind: Annotated[str, Form()] = "",
) -> Response:
    messages = [message_pb2.Message(role="user"), message_pb2.Message(role="assistant")]
    tags = ["dialogue"] if kind == "dialogue" else []
    draft = authoring_pb2.Draft(group=group, split=split, messages=messages, tags=tags, author=session.name)
    return done(request, _path(await create(request, draft)))


@router.post("/author/from-candidate")
async def from_candidate(request: Request, session: Author, name: Annotated[str, Form()]) -> Response:
    """A draft that begins as a review candidate: how a comment chain becomes a dialogue."""
    backends: Backends = request.app.state.resources.backends
    async with calls():
        candidate = await backends.review.GetCandidate(review_pb2.GetCandidateRequest(name=name), timeout=PAGE_SECONDS)
    draft = authoring_pb2.Draft(
        group="A",
        split="train",
        messages=candidate.messages,
        tags=["dialogue"],
        author=session.name,
        attribution=candidate.attribution,
    )
    return done(request, _path(await create(request, draft)))


@router.get("/author/d/{draft_id}")
async def draft_page(request: Request, draft_id: str, session: Author) -> Response:
    draft = await _mine(request, draft_id, session)
    return page(
        request,
        "draft.html",
        draft=draft,
        base=_path(draft),
        tags=TAGS,
        splits=SPLITS,
        submitted=draft.state == authoring_pb2.DRAFT_STATE_SUBMITTED,
        remarks=_remarks(translator_of(request), draft),
    )


@router.post("/author/d/{draft_id}/save")
async def save(request: Request, draft_id: str, session: Author) -> Response:
    """Saves what stands in the form, and says what a reader of the guidance would remark."""
    draft = await _saved(request, draft_id, session)
    t = translator_of(request)
    return JSONResponse(
        {
            "etag": draft.etag,
            "remarks": _remarks(t, draft),
            "tokens": t("author.tokens", prompt=draft.style.prompt_tokens, response=draft.style.response_tokens),
            "saved": t("author.saved"),
        }
    )


@router.post("/author/d/{draft_id}/submit")
async def submit(request: Request, draft_id: str, session: Author) -> Response:
    backends: Backends = request.app.state.resources.backends
    draft = await _saved(request, draft_id, session)
    async with calls():
        await backends.authoring.SubmitDraft(
            authoring_pb2.SubmitDraftRequest(name=draft.name, etag=draft.etag), timeout=WRITE_SECONDS
        )
    return done(request, "/author")


@router.post("/author/d/{draft_id}/delete")
async def delete(request: Request, draft_id: str, session: Author, etag: Annotated[str, Form()]) -> Response:
    backends: Backends = request.app.state.resources.backends
    draft = await _mine(request, draft_id, session)
    async with calls():
        await backends.authoring.DeleteDraft(
            authoring_pb2.DeleteDraftRequest(name=draft.name, etag=etag), timeout=WRITE_SECONDS
        )
    return done(request, "/author")


async def create(request: Request, draft: authoring_pb2.Draft) -> authoring_pb2.Draft:
    backends: Backends = request.app.state.resources.backends
    async with calls():
        created: authoring_pb2.Draft = await backends.authoring.CreateDraft(
            authoring_pb2.CreateDraftRequest(parent=COLLECTION, draft=draft), timeout=WRITE_SECONDS
        )
    return created


async def _mine(request: Request, draft_id: str, session: Session) -> authoring_pb2.Draft:
    """The draft, if it is this author's or an operator asks."""
    backends: Backends = request.app.state.resources.backends
    async with calls():
        draft: authoring_pb2.Draft = await backends.authoring.GetDraft(
            authoring_pb2.GetDraftRequest(name=f"{COLLECTION}/drafts/{draft_id}"), timeout=PAGE_SECONDS
        )
    if draft.author != session.name and not session.may(Permission.OPERATE):
        raise PermissionDenied("this draft is somebody else's", remedy="open one of your own")
    return draft


async def _saved(request: Request, draft_id: str, session: Session) -> authoring_pb2.Draft:
    backends: Backends = request.app.state.resources.backends
    before = await _mine(request, draft_id, session)
    form = await request.form()
    kept = [tag for tag in before.tags if tag not in TAGS]
    draft = authoring_pb2.Draft(
        name=before.name,
        etag=str(form.get("etag", "")),
        group=str(form.get("group", "")),
        split=str(form.get("split", "")),
        messages=_turns(form.getlist("role"), form.getlist("content")),
        tags=[*kept, *(str(tag) for tag in form.getlist("tag") if tag in TAGS)],
        author=before.author,
    )
    try:
        async with calls():
            saved: authoring_pb2.Draft = await backends.authoring.UpdateDraft(
                authoring_pb2.UpdateDraftRequest(draft=draft), timeout=WRITE_SECONDS
            )
    except Conflict:
        # The same words arrived before, and only their answer was lost: nothing is in conflict.
        if _content(draft) != _content(before):
            raise
        return before
    return saved


def _remarks(t: Translator, draft: authoring_pb2.Draft) -> list[str]:
    """What a reader of the guidance would remark, in the visitor's language where the catalogue knows the rule."""

    def text(remark: authoring_pb2.StyleRemark) -> str:
        said = term(t, "style", remark.rule)
        return said if said != remark.rule else remark.message

    return [t("author.remark", turn=remark.turn + 1, text=text(remark)) for remark in draft.style.remarks]


def _content(draft: authoring_pb2.Draft) -> tuple[object, ...]:
    turns = [(turn.role, turn.content) for turn in draft.messages]
    return draft.group, draft.split, turns, sorted(draft.tags)


def _turns(roles: Sequence[object], contents: Sequence[object]) -> list[message_pb2.Message]:
    if len(roles) != len(contents) or not 1 <= len(roles) <= MAX_TURNS:
        raise InvalidInput("content", len(contents), f"must be 1 to {MAX_TURNS} turns, each with a role")
    return [
        message_pb2.Message(role=str(role), content=str(content).replace("\r\n", "\n")[:MAX_TURN])
        for role, content in zip(roles, contents, strict=True)
    ]


def _path(draft: authoring_pb2.Draft) -> str:
    return f"/author/d/{quote(last_part(draft.name))}"
