"""Response sets: whole or absent, in order, found again, and continued after a crash."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import pytest

from lima.inference.v1 import inference_pb2
from services.shared.errors import DataCorrupt, FailedPrecondition, InvalidInput, NotFound
from services.shared.records import Response
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.fixtures.bare_replica import BareReplica
from tests.service.inference.conftest import Stack, front_settings, running_front


def request_for(uri: str, **fields: object) -> inference_pb2.GenerateResponsesRequest:
    request = inference_pb2.GenerateResponsesRequest(model="tiny", prompts_uri=uri, **fields)
    request.sampling.max_tokens = 8
    return request


async def make(stack: Stack, request: inference_pb2.GenerateResponsesRequest) -> inference_pb2.ResponseSet:
    return await stack.finish(await stack.generation.GenerateResponses(request), inference_pb2.ResponseSet())


def records(stack: Stack, uri: str) -> list[Response]:
    lines = stack.store.get_bytes(stack.store.key(uri)).splitlines()
    return [Response.model_validate_json(line) for line in lines]


async def test_a_set_is_whole_ordered_and_found_again(ready: Stack) -> None:
    request = request_for(ready.put_prompts(5), n=3)
    made = await make(ready, request)
    rows = records(ready, made.uri)
    assert [(row.prompt_id, row.sample) for row in rows] == [(f"p{i}", j) for i in range(5) for j in range(3)]
    assert (made.prompt_count, made.response_count) == (5, 15)
    assert sum(made.finish_counts.values()) == 15
    assert made.usage.completion_tokens == sum(row.completion_tokens for row in rows)
    assert len({row.response for row in rows}) > 5
    (model,) = ready.replica.models.values()
    drawn = model.engine.load().tokens_drawn
    assert await make(ready, request) == made
    assert model.engine.load().tokens_drawn == drawn
    assert await ready.generation.GetResponseSet(inference_pb2.GetResponseSetRequest(name=made.name)) == made
    listed = await ready.generation.ListResponseSets(inference_pb2.ListResponseSetsRequest())
    assert list(listed.response_sets) == [made]


async def test_a_set_is_named_by_all_that_it_depends_on(ready: Stack) -> None:
    uri = ready.put_prompts(3)
    first = await make(ready, request_for(uri))
    fewer = await make(ready, request_for(uri, limit=2))
    other = request_for(uri)
    other.sampling.temperature = 0.5
    assert len({first.name, fewer.name, (await make(ready, other)).name}) == 3
    assert fewer.response_count == 2
    assert records(ready, fewer.uri) == records(ready, first.uri)[:2]


async def test_a_front_that_was_killed_continues_and_ends_with_the_same_bytes(
    settings: Settings, replica: BareReplica, tiny_folder: Path
) -> None:
    declared = front_settings(settings, replica, tiny_folder.parent, response_concurrency=1)
    async with running_front(declared, replica) as stack:
        await stack.register("tiny", folder_uri="tiny")
        await stack.load("tiny")
        request = request_for(stack.put_prompts(12))
        operation = await stack.generation.GenerateResponses(request)
        (model,) = replica.models.values()
        before = model.engine.load().tokens_drawn
        async with asyncio.timeout(60):
            while model.engine.load().tokens_drawn < before + 40:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    # The block ended while the set was being made: nothing of it may be in the store yet.
    assert list(stack.store.list("responses/")) == []
    drawn = model.engine.load().tokens_drawn
    async with running_front(declared, replica) as stack:
        made = await stack.finish(operation, inference_pb2.ResponseSet())
        continued = stack.store.get_bytes(stack.store.key(made.uri))
        again = model.engine.load().tokens_drawn - drawn
        assert again < made.usage.completion_tokens
        stack.store.delete_prefix("responses")
        anew = await make(stack, request)
        assert stack.store.get_bytes(stack.store.key(anew.uri)) == continued


async def test_bad_prompt_files(ready: Stack) -> None:
    ready.store.put_bytes("prompts/bad.jsonl", b'{"id": "a"}\n')
    with pytest.raises(DataCorrupt, match=r"bad.jsonl line 1: source: Field required"):
        await make(ready, request_for(ready.store.uri("prompts/bad.jsonl")))
    silent = {"id": "a", "source": "s", "split": "test", "messages": [{"role": "assistant", "content": "hm"}]}
    ready.store.put_bytes("prompts/silent.jsonl", json.dumps(silent).encode())
    with pytest.raises(DataCorrupt, match="has no user turn"):
        await make(ready, request_for(ready.store.uri("prompts/silent.jsonl")))
    ready.store.put_bytes("prompts/empty.jsonl", b"\n\n")
    with pytest.raises(InvalidInput, match="at least one example"):
        await make(ready, request_for(ready.store.uri("prompts/empty.jsonl")))
    with pytest.raises(NotFound):
        await make(ready, request_for(ready.store.uri("prompts/none.jsonl")))
    with pytest.raises(InvalidInput, match="must be in bucket"):
        await make(ready, request_for("s3://other/prompts.jsonl"))
    assert list(ready.store.list("responses/")) == []


async def test_bad_sets_and_models_are_refused_at_once(stack: Stack) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await stack.generation.GenerateResponses(request_for("s3://x/y"))
    assert isinstance(to_error(refused.value), NotFound)
    await stack.register("tiny", folder_uri="tiny")
    with pytest.raises(FailedPrecondition, match="is not loaded"):
        await make(stack, request_for(stack.put_prompts(1)))
    with pytest.raises(grpc.RpcError) as refused:
        await stack.generation.GetResponseSet(inference_pb2.GetResponseSetRequest(name="responseSets/none"))
    assert isinstance(to_error(refused.value), NotFound)
