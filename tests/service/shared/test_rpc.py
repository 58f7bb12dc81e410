"""The bootstrap as clients meet it: a real aio server on port 0, real channels, real stubs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.shared import errors
from services.shared.rpc.client import connect, connect_blocking
from services.shared.rpc.principal import Role
from services.shared.rpc.server import running
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.conftest import TOKEN
from tests.fixtures.probe import NAME, ProbeStub, probe_service, tell_caller

ANN_TOKEN = "token-of-ann"


@pytest.fixture
def local_settings(tmp_path: Path) -> Settings:
    """Without an object store: the bootstrap needs none."""
    return Settings(state_dir=tmp_path, token=TOKEN, shutdown_notice_seconds=0, log_format="json")


def with_ann(settings: Settings, tmp_path: Path) -> Settings:
    digest = hashlib.sha256(ANN_TOKEN.encode()).hexdigest()
    path = tmp_path / "tokens.yaml"
    path.write_text(json.dumps([{"name": "ann", "role": "annotator", "sha256": digest}]))
    return settings.model_copy(update={"tokens_file": path})


async def texts(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield StringValue(value=value)


async def collect(call: AsyncIterator[StringValue]) -> list[str]:
    return [response.value async for response in call]


async def call_each_kind(stub: ProbeStub, text: str) -> list[list[str]]:
    return [
        [(await stub.Say(StringValue(value=text))).value],
        await collect(stub.Count(StringValue(value=text))),
        [(await stub.Join(texts(text))).value],
        await collect(stub.Echo(texts(text))),
    ]


async def failures_of_each_kind(stub: ProbeStub, text: str = "x") -> list[errors.LimaError]:
    calls = [
        lambda: stub.Say(StringValue(value=text)),
        lambda: collect(stub.Count(StringValue(value=text))),
        lambda: stub.Join(texts(text)),
        lambda: collect(stub.Echo(texts(text))),
    ]
    failures = []
    for call in calls:
        with pytest.raises(grpc.RpcError) as failure:
            await call()
        failures.append(to_error(failure.value))
    return failures


async def test_all_four_kinds_know_their_caller(local_settings: Settings) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        answer = "hi from operator (OPERATOR)"
        assert await call_each_kind(ProbeStub(channel), "hi") == [[answer], ["0", "1", "2", answer], [answer], [answer]]


async def test_domain_errors_arrive_whole_in_all_four_kinds(local_settings: Settings) -> None:
    async def refuse(text: str) -> str:
        raise errors.InvalidInputs(
            [
                errors.InvalidInput("size", -1, "must not be negative"),
                errors.InvalidInput("name", "Ä", "must be ASCII"),
            ],
            remedy="look again",
        )

    async with (
        running(local_settings, "probe", [probe_service(refuse)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        for error in await failures_of_each_kind(ProbeStub(channel)):
            assert isinstance(error, errors.InvalidInput)
            assert [str(violation) for violation in error.violations] == [
                "size = -1: must not be negative",
                "name = 'Ä': must be ASCII",
            ]
            assert error.remedy == "look again"
            assert error.metadata["request_id"]


async def test_unknown_exceptions_tell_no_internals(local_settings: Settings) -> None:
    async def fail(text: str) -> str:
        raise RuntimeError("the password is hunter2")

    async with (
        running(local_settings, "probe", [probe_service(fail)]) as server,
        connect(server.address, TOKEN) as channel,
    ):
        for error in await failures_of_each_kind(ProbeStub(channel)):
            assert isinstance(error, errors.Internal)
            assert "hunter2" not in str(error)
            assert error.metadata["request_id"] in error.remedy


@pytest.mark.parametrize("token", [None, "wrong", ""])
async def test_callers_without_a_known_token_are_refused(local_settings: Settings, token: str | None) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        connect(server.address, token) as channel,
    ):
        for error in await failures_of_each_kind(ProbeStub(channel)):
            assert isinstance(error, errors.Unauthenticated)


async def test_roles_bound_what_a_caller_may_do(local_settings: Settings, tmp_path: Path) -> None:
    service = probe_service(tell_caller, roles={"Say": Role.ANNOTATOR, "Count": Role.VIEWER})
    async with (
        running(with_ann(local_settings, tmp_path), "probe", [service]) as server,
        connect(server.address, ANN_TOKEN) as channel,
    ):
        stub = ProbeStub(channel)
        assert (await stub.Say(StringValue(value="x"))).value == "x from ann (ANNOTATOR)"
        assert len(await collect(stub.Count(StringValue(value="x")))) == 4
        with pytest.raises(grpc.RpcError) as failure:
            await stub.Join(texts("x"))
        error = to_error(failure.value)
        assert isinstance(error, errors.PermissionDenied)
        assert "takes role operator" in error.message


async def test_health_and_reflection_answer_without_a_token(local_settings: Settings) -> None:
    async with (
        running(local_settings, "probe", [probe_service(tell_caller)]) as server,
        connect(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "liveness", "readiness", NAME):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel)
        async for response in reflect.ServerReflectionInfo(iter([request])):
            assert NAME in {service.name for service in response.list_services_response.service}


async def test_stopping_tells_watchers_and_lets_calls_at_work_finish(local_settings: Settings) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def linger(text: str) -> str:
        started.set()
        await release.wait()
        return "done"

    async with connect("127.0.0.1:1", TOKEN) as _:
        pass
    async with running(local_settings, "probe", [probe_service(linger)]) as server:
        channel = connect(server.address, TOKEN)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = ProbeStub(channel).Say(StringValue(value="x"))
        await started.wait()
        stopping = asyncio.create_task(server.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        release.set()
        assert (await call).value == "done"
        await stopping
        await channel.close()


async def test_deadlines_are_given_and_bounded(local_settings: Settings) -> None:
    async def sleep(text: str) -> str:
        await asyncio.sleep(60)
        return text

    settings = local_settings.model_copy(update={"rpc_default_seconds": 0.2, "rpc_maximum_seconds": 100})
    async with running(settings, "probe", [probe_service(sleep)]) as server:
        # A plain channel: ours would set a deadline of its own.
        async with grpc.aio.insecure_channel(server.address) as channel:
            metadata = [("authorization", f"Bearer {TOKEN}")]
            with pytest.raises(grpc.RpcError) as failure:
                await ProbeStub(channel).Say(StringValue(value="x"), metadata=metadata)
            assert isinstance(to_error(failure.value), errors.DeadlineExceeded)
        async with connect(server.address, TOKEN, seconds=101) as channel:
            with pytest.raises(grpc.RpcError) as failure:
                await ProbeStub(channel).Say(StringValue(value="x"))
            error = to_error(failure.value)
            assert isinstance(error, errors.InvalidInput)
            assert error.violations[0].field == "deadline"


async def test_each_rpc_leaves_one_line_and_counts(local_settings: Settings) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with (
            running(local_settings, "probe", [probe_service(tell_caller)]) as server,
            connect(server.address, TOKEN) as channel,
        ):
            call = ProbeStub(channel).Say(StringValue(value="x"), metadata=[("x-request-id", "my-id")])
            await call
            assert dict(await call.trailing_metadata())["x-request-id"] == "my-id"
            async with httpx.AsyncClient() as http:
                metrics = (await http.get(f"http://127.0.0.1:{server.metrics_port}/metrics")).text
    [line] = [line for line in lines if line["event"] == "rpc"]
    assert (line["request_id"], line["method"], line["code"], line["principal"]) == (
        "my-id",
        f"/{NAME}/Say",
        "OK",
        "operator",
    )
    assert f'lima_rpc_requests_total{{code="OK",method="/{NAME}/Say"}} 1.0' in metrics
    assert f'lima_rpc_in_flight{{method="/{NAME}/Say"}} 0.0' in metrics


async def test_a_blocking_channel_does_the_same(local_settings: Settings) -> None:
    async with running(local_settings, "probe", [probe_service(tell_caller)]) as server:

        def call() -> list[str]:
            with connect_blocking(server.address, TOKEN) as channel:
                stub = ProbeStub(channel)
                single = stub.Say(StringValue(value="hi")).value
                return [single, *(response.value for response in stub.Count(StringValue(value="hi")))]

        answer = "hi from operator (OPERATOR)"
        assert await asyncio.to_thread(call) == [answer, "0", "1", "2", answer]


async def test_an_absent_server_is_told_with_a_remedy() -> None:
    async with connect("127.0.0.1:1", TOKEN, seconds=5) as channel:
        with pytest.raises(grpc.RpcError) as failure:
            await ProbeStub(channel).Say(StringValue(value="x"))
    error = to_error(failure.value)
    assert isinstance(error, errors.Unavailable)
    assert "lima up" in error.remedy


async def test_a_taken_port_is_refused_with_a_remedy(local_settings: Settings) -> None:
    async with running(local_settings, "probe", [probe_service(tell_caller)]) as server:
        taken = local_settings.model_copy(update={"port": server.port})
        with pytest.raises(errors.FailedPrecondition, match="cannot listen"):
            async with running(taken, "probe", [probe_service(tell_caller)]):
                pass


async def test_the_ready_file_tells_where_and_goes_away(local_settings: Settings, tmp_path: Path) -> None:
    settings = local_settings.model_copy(update={"ready_file": tmp_path / "run" / "probe.json"})
    assert settings.ready_file is not None
    async with running(settings, "probe", [probe_service(tell_caller)]) as server:
        assert json.loads(settings.ready_file.read_text())["address"] == server.address
    assert not settings.ready_file.exists()


async def test_a_server_without_tokens_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="LIMA_TOKEN"):
        async with running(Settings(state_dir=tmp_path), "probe", [probe_service(tell_caller)]):
            pass


def test_a_role_for_a_method_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no method Shout"):
        probe_service(tell_caller, roles={"Shout": Role.VIEWER})
