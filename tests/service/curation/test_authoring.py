"""Drafts over gRPC, from the first keystroke to a corpus that a dataset reads."""

from __future__ import annotations

import json
from typing import Any

from lima.common.v1.message_pb2 import Attribution, Message
from lima.curation.v1.authoring_pb2 import (
    CheckStyleRequest,
    CreateDraftRequest,
    DeleteDraftRequest,
    Draft,
    GetAuthoringProgressRequest,
    GetDraftRequest,
    ListDraftsRequest,
    PublishCollectionRequest,
    SubmitDraftRequest,
    UpdateDraftRequest,
)
from services.curation.tables import Base
from services.shared.database import Database
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from services.shared.settings import Settings
from tests.service.curation.conftest import Client
from tests.service.curation.test_build import build, refusal

PARENT = "collections/authored"


def turns(*texts: str) -> list[Message]:
    return [Message(role="assistant" if place % 2 else "user", content=text) for place, text in enumerate(texts)]


async def create(client: Client, *texts: str, request_id: str = "", **values: Any) -> Draft:
    draft = Draft(**({"group": "A", "split": "train", "author": "ann"} | values), messages=turns(*texts))
    return await client.authoring.CreateDraft(CreateDraftRequest(parent=PARENT, draft=draft, request_id=request_id))


async def submit(client: Client, draft: Draft) -> Draft:
    return await client.authoring.SubmitDraft(SubmitDraftRequest(name=draft.name, etag=draft.etag))


async def test_a_draft_is_written_submitted_published_and_built(client: Client) -> None:
    draft = await create(client, "", "", request_id="one")
    assert (await create(client, "", "", request_id="one")).name == draft.name
    assert isinstance(await refusal(submit(client, draft)), FailedPrecondition)
    draft.messages[0].content, draft.messages[1].content = "Why is bread sour?", "Bread turns sour when it rests long."
    saved = await client.authoring.UpdateDraft(UpdateDraftRequest(draft=draft))
    assert [remark.rule for remark in saved.style.remarks] == ["short"]
    assert isinstance(await refusal(client.authoring.UpdateDraft(UpdateDraftRequest(draft=draft))), Conflict)
    submitted = await submit(client, saved)
    test = await submit(client, await create(client, "What is rye?", "", group="B", split="test", tags=["sensitive"]))
    progress = await client.authoring.GetAuthoringProgress(GetAuthoringProgressRequest(parent=PARENT))
    counts = {(line.group, line.split, line.tag): (line.wanted, line.submitted) for line in progress.quotas}
    assert counts["A", "train", ""] == (200, 1)
    assert counts["B", "test", "sensitive"] == (30, 1)
    assert dict(progress.by_author) == {"ann": 2}
    request = PublishCollectionRequest(name=PARENT, corpus_id="ours")
    corpus = await client.authoring.PublishCollection(request)
    assert (await client.authoring.PublishCollection(request)).digest == corpus.digest
    sources = [{"name": "ours", "corpus": "ours", "authored": {}, "quota": {"train": 1, "test": 1}}]
    dataset = await build(client, {"name": "of-drafts", "sources": sources})
    assert dict(dataset.split_counts) == {"train": 1, "dev": 0, "test": 1}
    assert (
        submitted.name.rpartition("/")[2]
        in client.store.get_bytes(f"{client.store.key(dataset.uri)}/train.jsonl").decode()
    )
    await client.authoring.DeleteDraft(DeleteDraftRequest(name=test.name, etag=test.etag))
    assert isinstance(await refusal(client.authoring.GetDraft(GetDraftRequest(name=test.name))), NotFound)


async def test_what_began_as_somebody_elses_text_keeps_its_terms(client: Client) -> None:
    origin = Attribution(url="https://example.org/a/2", author="Greta", licence="CC-BY-SA-4.0")
    draft = await create(client, "Why is bread sour?", "It rested long.", attribution=origin)
    # A later save says nothing of the attribution, and does not take it away.
    draft.ClearField("attribution")
    draft.messages[1].content = "Bread turns sour when it rests long."
    saved = await client.authoring.UpdateDraft(UpdateDraftRequest(draft=draft))
    assert saved.attribution == origin
    await submit(client, saved)
    corpus = await client.authoring.PublishCollection(PublishCollectionRequest(name=PARENT, corpus_id="edited"))
    prefix = client.store.key(corpus.uri)
    (line,) = [json.loads(client.store.get_bytes(i.key)) for i in client.store.list(prefix) if i.key.endswith("jsonl")]
    assert (line["licence"], line["url"]) == ("CC-BY-SA-4.0", "https://example.org/a/2")
    assert line["author"] == "Greta; edited by ann"


async def test_drafts_are_listed_newest_first_in_pages(client: Client) -> None:
    made = [await create(client, f"Question {n}?", author="ann" if n % 2 else "bo") for n in range(5)]
    first = await client.authoring.ListDrafts(ListDraftsRequest(parent=PARENT, page_size=3))
    rest = await client.authoring.ListDrafts(
        ListDraftsRequest(parent=PARENT, page_size=3, page_token=first.next_page_token)
    )
    assert [draft.name for draft in (*first.drafts, *rest.drafts)] == [draft.name for draft in reversed(made)]
    mine = await client.authoring.ListDrafts(ListDraftsRequest(parent=PARENT, author="ann", state="DRAFT_STATE_OPEN"))
    assert len(mine.drafts) == 2


async def test_what_is_no_draft_is_refused(client: Client) -> None:
    for values in ({"group": "C"}, {"split": "test"}, {"tags": ["Not A Tag"]}):
        assert isinstance(await refusal(create(client, "q", **values)), InvalidInput)
    backwards = Draft(group="A", split="train", messages=[Message(role="assistant", content="x")])
    request = CreateDraftRequest(parent=PARENT, draft=backwards)
    assert isinstance(await refusal(client.authoring.CreateDraft(request)), InvalidInput)
    empty = PublishCollectionRequest(name="collections/none", corpus_id="x")
    assert isinstance(await refusal(client.authoring.PublishCollection(empty)), FailedPrecondition)


async def test_style_is_reported_and_nothing_is_stored(client: Client) -> None:
    request = CheckStyleRequest(messages=turns("How do I cook rice?", "Sure! Boil."))
    report = await client.authoring.CheckStyle(request)
    assert {remark.rule for remark in report.remarks} == {"no-acknowledgement", "filler", "short"}
    assert not (await client.authoring.ListDrafts(ListDraftsRequest(parent=PARENT))).drafts


async def test_migrations_make_the_tables_of_the_models(database_settings: Settings) -> None:
    from services.curation.__main__ import MIGRATIONS

    database = Database.open(database_settings, "curation", MIGRATIONS)
    try:
        await database.migrate()
        assert await database.differences(Base.metadata) == []
    finally:
        await database.close()
