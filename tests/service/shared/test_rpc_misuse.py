"""What clients do to a server: vanish, send too much, send nonsense, try again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue

from services.shared import errors
from services.shared.rpc.client import connect
from services.shared.rpc.server import running
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.probe import NAME, ProbeStub, probe_service, tell_caller

METADATA = [("authorization", f"Bearer {TOKEN}")]


@pytest.fixture
def local_settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, token=TOKEN, shutdown_notice_seconds=0, rpc_message_mebibytes=1)


async def test_only_unavailable_is_tried_again(local_settings: Settings) -> None:
    seen: list[str] = []

    async def fail_twice(text: str) -> str:
        seen.append(text)
        if text == "absent":
            raise errors.NotFound("word", text)
        if seen.count(text) < 3:
            raise errors.Unavailable("not yet")
        return "at last"

    async with (
        running(local_settings, "probe", [probe_service(fail_twice)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        stub = ProbeStub(channel)
        assert (await stub.Say(StringValue(value="busy"))).value == "at last"
        with pytest.raises(grpc.RpcError) as failure:
            await stub.Say(StringValue(value="absent"))
    assert isinstance(to_error(failure.value), errors.NotFound)
    assert (seen.count("busy"), seen.count("absent")) == (3, 1)


async def test_calls_go_round_all_servers_and_past_a_dead_one(local_settings: Settings) -> None:
    reached: set[int] = set()

    def note(number: int) -> Callable[[str], Awaitable[str]]:
        async def act(text: str) -> str:
            reached.add(number)
            return text

        return act

    async with (
        running(local_settings, "probe", [probe_service(note(1))]) as one,
        running(local_settings, "probe", [probe_service(note(2))]) as two,
        connect(f"ipv4:127.0.0.1:1,{one.address},{two.address}", TOKEN) as channel,
    ):
        async with asyncio.timeout(60):  # a connection may take its time to come up
            while reached != {1, 2}:
                await ProbeStub(channel).Say(StringValue(value="x"))


async def test_a_client_that_vanishes_interrupts_its_call(local_settings: Settings) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def linger(text: str) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return text

    with structlog.testing.capture_logs() as lines:
        async with (
            running(local_settings, "probe", [probe_service(linger)]) as server,
            connect(server.address, TOKEN) as channel,
        ):
            for kind in ("Say", "Count"):
                started.clear()
                ended.clear()
                call = getattr(ProbeStub(channel), kind)(StringValue(value="x"))
                await asyncio.wait_for(started.wait(), 30)
                call.cancel()
                await asyncio.wait_for(ended.wait(), 30)
    assert [line["code"] for line in lines if line["event"] == "rpc"] == ["CANCELLED", "CANCELLED"]


async def test_a_message_beyond_the_limit_is_refused_in_both_directions(local_settings: Settings) -> None:
    async def blow_up(text: str) -> str:
        return "x" * (2 << 20)

    async with (
        running(local_settings, "probe", [probe_service(blow_up)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        for text in ("x" * (2 << 20), "small"):
            with pytest.raises(grpc.RpcError) as failure:
                await ProbeStub(channel).Say(StringValue(value=text))
            assert failure.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)


@pytest.mark.parametrize("request_id", ["", "with space", "x" * 129, 'quote"', "../../etc"])
async def test_a_strange_request_id_is_replaced(local_settings: Settings, request_id: str) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        call = ProbeStub(channel).Say(StringValue(value="x"), metadata=[*METADATA, ("x-request-id", request_id)])
        await call
        returned = dict(await call.trailing_metadata())["x-request-id"]
    assert returned != request_id
    assert returned.isalnum()


async def test_a_call_made_while_serving_carries_the_same_request_id(local_settings: Settings) -> None:
    async with running(local_settings, "inner", [probe_service(tell_caller)]) as inner:

        async def pass_on(text: str) -> str:
            async with connect(inner.address, TOKEN) as channel:
                call = ProbeStub(channel).Say(StringValue(value=text))
                await call
                return str(dict(await call.trailing_metadata())["x-request-id"])

        async with (
            running(local_settings, "outer", [probe_service(pass_on)]) as outer,
            connect(outer.address, TOKEN) as channel,
        ):
            call = ProbeStub(channel).Say(StringValue(value="x"), metadata=[("x-request-id", "one-id")])
            assert (await call).value == "one-id"


async def test_bytes_that_are_no_message_are_refused(local_settings: Settings) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        raw = channel.unary_unary(f"/{NAME}/Say")
        with pytest.raises(grpc.RpcError):
            await raw(b"\xff\xff\xff", metadata=METADATA)
        assert (await ProbeStub(channel).Say(StringValue(value="x"), metadata=METADATA)).value


async def test_a_method_that_is_not_there_is_refused(local_settings: Settings) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        with pytest.raises(grpc.RpcError) as failure:
            await channel.unary_unary(f"/{NAME}/Shout")(b"")
        assert isinstance(to_error(failure.value), errors.Unimplemented)


async def test_the_callers_of_concurrent_calls_are_kept_apart(local_settings: Settings, tmp_path: Path) -> None:
    people = [f"person-{number}" for number in range(5)]
    grants = [
        {"name": name, "role": "operator", "sha256": hashlib.sha256(f"token of {name}".encode()).hexdigest()}
        for name in people
    ]
    (tmp_path / "tokens.json").write_text(json.dumps(grants))
    settings = local_settings.model_copy(update={"tokens_file": tmp_path / "tokens.json"})
    async with (
        running(settings, "probe", [probe_service(tell_caller)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):

        async def who(name: str) -> str:
            metadata = [("authorization", f"Bearer token of {name}")]
            return str((await ProbeStub(channel).Say(StringValue(value="hi"), metadata=metadata)).value)

        answers = await asyncio.gather(*(who(name) for name in people * 10))
    assert answers == [f"hi from {name} (OPERATOR)" for name in people * 10]
