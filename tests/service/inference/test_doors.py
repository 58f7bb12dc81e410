"""The doors of the front: a client that knows nothing but reflection, texts that are none, and quotas."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lima.inference.v1 import inference_pb2, sampling_pb2
from services.shared.errors import InvalidInput, LimaError, ResourceExhausted
from services.shared.rpc.client import connect
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.bare_replica import BareReplica
from tests.service.inference.conftest import Stack, front_settings, running_front

SERVICE = "lima.inference.v1.InferenceService"
AUTHORISED = (("authorization", f"Bearer {TOKEN}"),)


async def refusal(call: Any) -> LimaError:
    with pytest.raises(grpc.RpcError) as refused:
        await call
    return to_error(refused.value)


async def reflected_pool(channel: grpc.aio.Channel) -> descriptor_pool.DescriptorPool:
    """The service's descriptors as the server tells them, with all that they name."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    wanted = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)]
    while wanted:
        async for reply in stub.ServerReflectionInfo(iter([wanted.pop()])):
            for data in reply.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
                if file.name not in files:
                    files[file.name] = file
                    wanted += [
                        reflection_pb2.ServerReflectionRequest(file_by_filename=name) for name in file.dependency
                    ]
    pool = descriptor_pool.DescriptorPool()
    for file in files.values():
        _add(pool, file, files)
    return pool


def _add(
    pool: descriptor_pool.DescriptorPool,
    file: descriptor_pb2.FileDescriptorProto,
    files: dict[str, descriptor_pb2.FileDescriptorProto],
) -> None:
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        for name in file.dependency:
            _add(pool, files[name], files)
        pool.Add(file)


async def test_a_client_that_knows_only_reflection_can_chat(ready: Stack) -> None:
    """As grpcurl does: no stubs of ours, JSON in, JSON out."""
    async with grpc.aio.insecure_channel(ready.address) as channel:
        pool = await reflected_pool(channel)
        method = pool.FindServiceByName(SERVICE).methods_by_name["StreamChat"]
        asked, answered = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
        request = json_format.ParseDict(
            {
                "model": "tiny",
                "messages": [{"role": "user", "content": "tea"}],
                "sampling": {"maxTokens": 5, "seed": 1},
            },
            asked(),
        )
        call = channel.unary_stream(
            f"/{SERVICE}/StreamChat",
            request_serializer=asked.SerializeToString,
            response_deserializer=answered.FromString,
        )
        pieces = [json_format.MessageToDict(piece) async for piece in call(request, metadata=AUTHORISED)]
    assert pieces[-1]["usage"]["completionTokens"] <= 5
    assert pieces[-1]["finishReason"] in ("FINISH_REASON_STOP", "FINISH_REASON_LENGTH")


async def test_a_prompt_that_is_not_utf8_is_refused(ready: Stack) -> None:
    """Written by hand, because no client library would: field 2 of GenerateRequest holding the byte 0xff."""
    request = b"\x0a\x04tiny\x12\x01\xff"
    async with grpc.aio.insecure_channel(ready.address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Generate")
        error = await refusal(call(request, metadata=AUTHORISED))
    assert isinstance(error, InvalidInput)
    assert "texts in UTF-8" in error.message
    # The server is well after it.
    good = inference_pb2.GenerateRequest(model="tiny", prompt="tea")
    good.sampling.max_tokens = 2
    assert (await ready.generation.Generate(good)).completions


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "must not be empty"),
        ("tea\0cup", "must not hold NUL characters"),
        ("a" * 1_000_001, "must be at most 1000000 characters"),
        ("tea " * 600, "so that room is left for output"),
    ],
)
async def test_raw_prompts_that_are_refused(ready: Stack, prompt: str, message: str) -> None:
    error = await refusal(ready.generation.Generate(inference_pb2.GenerateRequest(model="tiny", prompt=prompt)))
    assert isinstance(error, InvalidInput)
    assert error.violations[0].field == "prompt"
    assert message in error.message


async def test_quotas_hold_per_token_holder_and_tell_when_to_come_back(
    settings: Settings, replica: BareReplica, tiny_folder: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens.json"
    keys = {"ann": "token-of-ann-0123456789", "bob": "token-of-bob-0123456789"}
    grants = [
        {"name": name, "role": "annotator", "sha256": hashlib.sha256(key.encode()).hexdigest()}
        for name, key in keys.items()
    ]
    tokens.write_text(json.dumps(grants))
    limits = {"admitted_tokens": 1000, "admitted_tokens_per_caller": 500, "tokens_file": tokens}
    declared = front_settings(settings, replica, tiny_folder.parent, **limits)
    async with running_front(declared, replica) as stack:
        await stack.register("tiny", folder_uri="tiny")
        await stack.load("tiny")
        endless = inference_pb2.StreamChatRequest(model="tiny", messages=[{"role": "user", "content": "tea"}])
        endless.sampling.MergeFrom(sampling_of(450))
        short = inference_pb2.ChatRequest(model="tiny", messages=[{"role": "user", "content": "tea"}])
        short.sampling.MergeFrom(sampling_of(100))
        async with (
            connect(stack.address, keys["ann"]) as ann,
            connect(stack.address, keys["bob"]) as bob,
        ):
            anns, bobs = (type(stack.generation)(channel) for channel in (ann, bob))
            call = anns.StreamChat(endless)
            await call.read()
            error = await refusal(anns.Chat(short))
            assert isinstance(error, ResourceExhausted)
            assert "ann has 451 tokens in flight; 101 more would pass its quota of 500" in error.message
            assert error.retry_seconds
            # Another holder's quota is untouched, and ann's is free again once the stream is closed.
            assert (await bobs.Chat(short)).completions
            call.cancel()
            async with asyncio.timeout(60):
                while stack.inference.generation.tokens_in_flight:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert (await anns.Chat(short)).completions


def sampling_of(tokens: int) -> sampling_pb2.Sampling:
    return sampling_pb2.Sampling(max_tokens=tokens, temperature=2, top_p=1, seed=1)
