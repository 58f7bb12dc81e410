"""People in the loop over gRPC: the queue, two reviewers, undo, stale items, and the dataset of what was accepted."""

from __future__ import annotations

from typing import Any

import pytest

from lima.common.v1.message_pb2 import Message
from lima.curation.v1.curation_pb2 import GetFunnelRequest
from lima.curation.v1.review_pb2 import (
    AssignCandidateRequest,
    Candidate,
    FillQueueRequest,
    GetReviewProgressRequest,
    ListCandidatesRequest,
    ListQueuesRequest,
    Queue,
    Review,
    SubmitReviewRequest,
    UndoReviewRequest,
)
from services.shared.errors import Conflict, FailedPrecondition, InvalidInput, NotFound
from tests.service.curation.conftest import SAMPLES, Client
from tests.service.curation.test_build import build, refusal, spec_of

QUEUE = "queues/reviewed"


def reviewed_spec(overlap: int) -> dict[str, Any]:
    return {
        "name": "reviewed",
        "seed": 3,
        "sources": [
            {"name": "stem", "corpus": "stackexchange", "stack_exchange": {"group": "stem"}, "quota": {"train": 2}}
        ],
        "review": {"required": True, "overlap": overlap},
    }


async def fill(client: Client, overlap: int = 1) -> Queue:
    await client.import_folder("stackexchange", SAMPLES / "stackexchange")
    operation = await client.review.FillQueue(FillQueueRequest(spec=spec_of(reviewed_spec(overlap))))
    return await client.finish(operation, Queue())


async def take(client: Client, reviewer: str) -> Candidate:
    return await client.review.AssignCandidate(AssignCandidateRequest(parent=QUEUE, reviewer=reviewer))


def decide(client: Client, candidate: Candidate, reviewer: str, decision: Any, **more: Any) -> Any:
    review = Review(reviewer=reviewer, decision=decision, **more)
    return client.review.SubmitReview(SubmitReviewRequest(name=candidate.name, etag=candidate.etag, review=review))


async def test_accepted_and_edited_candidates_become_the_dataset(client: Client) -> None:
    queue = await fill(client)
    assert queue.progress.pending == 6
    assert queue.funnel.sources[0].steps[0].filter == "top answer score"
    with pytest.raises(FailedPrecondition, match="accepted by reviewers"):
        await build(client, reviewed_spec(1))
    first = await take(client, "ann")
    assert (await take(client, "ann")).name == first.name, "a lease that is held comes again"
    other = await take(client, "bo")
    assert other.name != first.name
    await decide(client, first, "ann", "DECISION_ACCEPT")
    turns = [Message(role="user", content="Edited?"), Message(role="assistant", content="Edited, yes.")]
    edited = await decide(client, other, "bo", "DECISION_EDIT", messages=turns)
    assert edited.state == "accepted"
    rejected = await take(client, "ann")
    await decide(client, rejected, "ann", "DECISION_REJECT", reason="wrong")
    progress = await client.review.GetReviewProgress(GetReviewProgressRequest(parent=QUEUE))
    assert (progress.accepted, progress.rejected, progress.pending) == (2, 1, 3)
    assert dict(progress.by_reviewer) == {"ann": 2, "bo": 1}
    assert (progress.sources[0].wanted, progress.sources[0].accepted) == (2, 2)
    dataset = await build(client, reviewed_spec(1))
    lines = client.store.get_bytes(f"{client.store.key(dataset.uri)}/train.jsonl").decode()
    assert "Edited, yes." in lines
    manifest = client.store.get_manifest(client.store.key(dataset.uri))
    assert manifest is not None
    assert sorted(manifest["reviews"]["stem"].values()) == ["accepted by 1 reviewer", "accepted by 1 reviewer, edited"]

    refilled = await fill(client)
    assert (refilled.progress.accepted, refilled.progress.rejected, refilled.progress.pending) == (2, 1, 3)
    await client.review.UndoReview(UndoReviewRequest(parent=QUEUE, reviewer="bo"))
    with pytest.raises(FailedPrecondition):
        await build(client, reviewed_spec(1))


async def test_two_reviewers_must_agree(client: Client) -> None:
    await fill(client, overlap=2)
    candidate = await take(client, "ann")
    waiting = await decide(client, candidate, "ann", "DECISION_ACCEPT")
    assert waiting.state == "pending"
    again = await take(client, "bo")
    assert again.name == candidate.name
    split = await decide(client, again, "bo", "DECISION_REJECT", reason="style")
    assert split.state == "conflict"
    third = await take(client, "cy")
    assert third.name == candidate.name
    assert (await decide(client, third, "cy", "DECISION_ACCEPT")).state == "accepted"
    listed = await client.review.ListCandidates(ListCandidatesRequest(parent=QUEUE, state="accepted"))
    assert [found.name for found in listed.candidates] == [candidate.name]
    assert [review.reviewer for review in listed.candidates[0].reviews] == ["ann", "bo", "cy"]


async def test_stale_leased_and_malformed_reviews_are_refused(client: Client) -> None:
    await fill(client)
    candidate = await take(client, "ann")
    assert isinstance(await refusal(decide(client, candidate, "bo", "DECISION_ACCEPT")), Conflict)
    await decide(client, candidate, "ann", "DECISION_ACCEPT")
    stale = await refusal(decide(client, candidate, "ann", "DECISION_REJECT"))
    assert isinstance(stale, Conflict)
    assert "Read it again" in stale.remedy
    fresh = await take(client, "ann")
    assert isinstance(await refusal(decide(client, fresh, "ann", "DECISION_UNSPECIFIED")), InvalidInput)
    assert isinstance(await refusal(decide(client, fresh, "ann", "DECISION_EDIT")), InvalidInput)
    wrong = [Message(role="assistant", content="I begin.")]
    assert isinstance(await refusal(decide(client, fresh, "ann", "DECISION_EDIT", messages=wrong)), InvalidInput)


async def test_the_queue_ends_pages_and_is_named(client: Client) -> None:
    await fill(client)
    for _ in range(6):
        await decide(client, await take(client, "ann"), "ann", "DECISION_SKIP")
    assert isinstance(await refusal(take(client, "ann")), NotFound)
    assert (await take(client, "bo")).source == "stem"
    first = await client.review.ListCandidates(ListCandidatesRequest(parent=QUEUE, page_size=4))
    rest = await client.review.ListCandidates(
        ListCandidatesRequest(parent=QUEUE, page_size=4, page_token=first.next_page_token)
    )
    assert len({c.name for c in (*first.candidates, *rest.candidates)}) == 6
    queues = await client.review.ListQueues(ListQueuesRequest())
    assert [queue.name for queue in queues.queues] == [QUEUE]
    funnel = await client.curation.GetFunnel(GetFunnelRequest(name=QUEUE))
    assert funnel.sources[0].source == "stem"
    assert isinstance(
        await refusal(client.review.ListCandidates(ListCandidatesRequest(parent="queues/none"))), NotFound
    )
    assert isinstance(await refusal(client.review.ListCandidates(ListCandidatesRequest(parent="x"))), InvalidInput)
