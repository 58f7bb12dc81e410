"""Drafts of the examples that people write, the quotas they fill, and their publication as a corpus."""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.curation.sources.conversations import MAX_TURN_CHARACTERS, MAX_TURNS, NotAConversation, check_turns
from services.curation.tables import DraftRow
from services.shared.database import Database
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from services.shared.records import Attribution, Turn

COLLECTION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
GROUP_SPLITS = {"A": ("train", "dev"), "B": ("test",)}
TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# The paper's numbers: (group, split, tag, wanted). An empty tag counts every draft.
QUOTAS = (
    ("A", "train", "", 200),
    ("A", "train", "refusal", 13),
    ("A", "dev", "", 50),
    ("B", "test", "", 230),
    ("B", "test", "sensitive", 30),
    ("A", "train", "dialogue", 30),
)
# Of what authors write themselves.
LICENCE = "CC0-1.0"
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Draft:
    """An example under way. `etag` names the version that was read."""

    collection: str
    id: str
    group: str
    split: str
    messages: tuple[Turn, ...]
    tags: tuple[str, ...]
    author: str
    # Of the text that it began as; empty for one that is all the author's own.
    attribution: Attribution = field(default_factory=Attribution)
    submitted: bool = False
    etag: str = ""
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotaLine:
    group: str
    split: str
    tag: str
    wanted: int
    open: int
    submitted: int


class Authoring:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, draft: Draft, request_id: str = "") -> Draft:
        """A new draft; the same request id gives the draft made before."""
        _check(draft)
        async with self._database.transaction() as session:
            if request_id:
                known = await session.scalar(select(DraftRow).where(DraftRow.request_id == request_id))
                if known is not None:
                    return _draft(known)
            now = time.time()
            row = DraftRow(
                collection=draft.collection,
                id=secrets.token_hex(8),
                request_id=request_id or None,
                author=draft.author,
                attribution=draft.attribution.model_dump(exclude_defaults=True),
                submitted=False,
                version=1,
                created=now,
                updated=now,
            )
            _write(row, draft)
            session.add(row)
            await session.flush()
            return _draft(row)

    async def get(self, collection: str, name: str) -> Draft:
        async with self._database.session() as session:
            return _draft(await _row(session, collection, name))

    async def drafts(
        self, collection: str, *, author: str = "", group: str = "", submitted: bool | None = None,
        before: tuple[float, str] | None = None, size: int = 50,
    ) -> list[Draft]:  # fmt: skip
        """Newest first, those older than `before` = (created, id)."""
        query = select(DraftRow).where(DraftRow.collection == collection)
        if author:
            query = query.where(DraftRow.author == author)
        if group:
            query = query.where(DraftRow.group == group)
        if submitted is not None:
            query = query.where(DraftRow.submitted == submitted)
        if before is not None:
            created, name = before
            older = (DraftRow.created == created) & (DraftRow.id < name)
            query = query.where(or_(DraftRow.created < created, older))
        async with self._database.session() as session:
            rows = await session.scalars(query.order_by(DraftRow.created.desc(), DraftRow.id.desc()).limit(size))
            return [_draft(row) for row in rows]

    async def update(self, draft: Draft) -> Draft:
        """Replace group, split, messages and tags; a submitted draft is open again. Raises Conflict if it changed."""
        _check(draft)
        async with self._database.transaction() as session:
            row = await _row(session, draft.collection, draft.id, draft.etag)
            _write(row, draft)
            row.submitted = False
            return _changed(row)

    async def submit(self, collection: str, name: str, etag: str) -> Draft:
        """Declare a draft finished. Raises FailedPrecondition if it is not."""
        async with self._database.transaction() as session:
            row = await _row(session, collection, name, etag)
            _check_finished(_draft(row))
            row.submitted = True
            return _changed(row)

    async def delete(self, collection: str, name: str, etag: str) -> None:
        async with self._database.transaction() as session:
            await _row(session, collection, name, etag)
            await session.execute(delete(DraftRow).where(DraftRow.collection == collection, DraftRow.id == name))

    async def progress(self, collection: str) -> tuple[list[QuotaLine], Mapping[str, int]]:
        """(quotas with what is written of them, submitted drafts by author)."""
        drafts = await self._all(collection)
        lines = []
        for group, split, tag, wanted in QUOTAS:
            of_line = [d for d in drafts if d.group == group and d.split == split and (not tag or tag in d.tags)]
            submitted = sum(draft.submitted for draft in of_line)
            lines.append(QuotaLine(group, split, tag, wanted, len(of_line) - submitted, submitted))
        return lines, Counter(draft.author for draft in drafts if draft.submitted)

    async def published(self, collection: str) -> bytes:
        """The submitted drafts as the JSON lines of an authored corpus, in an order of their own."""
        finished = sorted((d for d in await self._all(collection) if d.submitted), key=lambda draft: draft.id)
        if not finished:
            raise FailedPrecondition(f"collections/{collection} holds no submitted draft", remedy="Submit some first.")
        return b"".join(orjson.dumps(_record(draft)) + b"\n" for draft in finished)

    async def _all(self, collection: str) -> list[Draft]:
        async with self._database.session() as session:
            return [
                _draft(row) for row in await session.scalars(select(DraftRow).where(DraftRow.collection == collection))
            ]


def _spoken(draft: Draft) -> tuple[Turn, ...]:
    """The turns less an empty last one of the assistant's: the page of a test prompt leaves its answer blank."""
    turns = draft.messages
    return turns[:-1] if turns and turns[-1].role == "assistant" and not turns[-1].content.strip() else turns


def _record(draft: Draft) -> dict[str, object]:
    return {
        "id": f"draft-{draft.id}",
        "group": draft.group,
        "split": draft.split,
        "messages": [{"role": turn.role, "content": turn.content} for turn in _spoken(draft)],
        "tags": list(draft.tags),
        **_terms(draft),
    }


def _terms(draft: Draft) -> dict[str, object]:
    """Who is to be named, under which licence: that of the text it began as, which an edit does not change."""
    origin = draft.attribution
    if origin == Attribution():
        return {"author": draft.author, "licence": LICENCE}
    author = f"{origin.author}; edited by {draft.author}" if origin.author else f"edited by {draft.author}"
    return {"author": author, "licence": origin.licence or NOT_STATED, "url": origin.url}


def _check(draft: Draft) -> None:
    if not COLLECTION.fullmatch(draft.collection):
        raise InvalidInput(
            "parent", draft.collection, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -"
        )
    splits = GROUP_SPLITS.get(draft.group)
    if splits is None:
        raise InvalidInput("draft.group", draft.group, "must be A (train and dev) or B (test)")
    if draft.split not in splits:
        raise InvalidInput("draft.split", draft.split, f"of group {draft.group} must be {' or '.join(splits)}")
    if wrong := [tag for tag in draft.tags if not TAG.fullmatch(tag)]:
        raise InvalidInput("draft.tags", wrong[0], "must be lower-case words of at most 40 letters, digits and -")
    if len(draft.messages) > MAX_TURNS:
        raise InvalidInput("draft.messages", f"{len(draft.messages)} turns", f"must be at most {MAX_TURNS}")
    for place, turn in enumerate(draft.messages):
        if turn.role != ("assistant" if place % 2 else "user"):
            raise InvalidInput(f"draft.messages[{place}].role", turn.role, "must alternate, the user first")
        if len(turn.content) > MAX_TURN_CHARACTERS:
            raise InvalidInput(
                f"draft.messages[{place}].content",
                f"{len(turn.content)} characters",
                f"must be at most {MAX_TURN_CHARACTERS}",
            )


def _check_finished(draft: Draft) -> None:
    remedy = "Finish it, save, then submit."
    messages = _spoken(draft)
    try:
        check_turns(messages)
    except NotAConversation as error:
        raise FailedPrecondition(f"the draft is not finished: {error}", remedy) from None
    if draft.split == "train" and messages[-1].role != "assistant":
        raise FailedPrecondition("the draft is not finished: a training example ends with the assistant's turn", remedy)


async def _row(session: AsyncSession, collection: str, name: str, etag: str | None = None) -> DraftRow:
    row = await session.get(DraftRow, (collection, name), with_for_update=True if etag is not None else None)
    if row is None:
        raise NotFound("draft", f"collections/{collection}/drafts/{name}")
    if etag is not None and etag != str(row.version):
        raise Conflict(f"draft {name} has changed since it was read", remedy="Read it again, then repeat the change.")
    return row


def _write(row: DraftRow, draft: Draft) -> None:
    row.group, row.split = draft.group, draft.split
    row.messages = [[turn.role, turn.content] for turn in draft.messages]
    row.tags = sorted(set(draft.tags))


def _changed(row: DraftRow) -> Draft:
    row.version += 1
    row.updated = time.time()
    return _draft(row)


def _draft(row: DraftRow) -> Draft:
    turns = tuple(Turn.model_validate({"role": role, "content": content}) for role, content in row.messages)
    return Draft(
        collection=row.collection,
        id=row.id,
        group=row.group,
        split=row.split,
        messages=turns,
        tags=tuple(row.tags),
        author=row.author,
        attribution=Attribution(**row.attribution),
        submitted=row.submitted,
        etag=str(row.version),
        created=row.created,
        updated=row.updated,
    )
