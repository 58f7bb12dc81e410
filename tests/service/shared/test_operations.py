"""Long-running operations on a real SQLite file and a real PostgreSQL, some through a real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import code_pb2

from lima.common.v1.progress_pb2 import OperationProgress
from services.shared import errors
from services.shared.database import Database
from services.shared.operations import OperationContext, Operations
from services.shared.rpc.client import connect
from services.shared.rpc.server import running
from services.shared.rpc.status import from_status, to_error
from services.shared.settings import Settings
from tests.conftest import TOKEN

Act = Callable[[OperationContext, Any], Awaitable[StringValue]]
REQUEST = StringValue(value="a request")
WAIT_SECONDS = 30


async def shout(context: OperationContext, request: StringValue) -> StringValue:
    await context.report(stage="shouting", done=0, total=2, unit="words", counts={"kept": 1})
    await context.report(done=2, counts={"dropped": 3})
    return StringValue(value=request.value.upper())


@asynccontextmanager
async def working(settings: Settings, handler: Act) -> AsyncIterator[Operations]:
    """Operations that run, as one replica has them."""
    database = Database.open(settings, "probe")
    await database.migrate()
    operations = Operations(database, settings)
    operations.register("shout", handler)
    await operations.run()
    try:
        yield operations
    finally:
        await operations.stop()
        await database.close()


def response_of(operation: operations_pb2.Operation) -> str:
    assert operation.done
    assert not operation.HasField("error"), operation.error
    value = StringValue()
    assert operation.response.Unpack(value)
    return value.value


def progress_of(operation: operations_pb2.Operation) -> OperationProgress:
    progress = OperationProgress()
    assert operation.metadata.Unpack(progress)
    return progress


async def test_an_operation_ends_with_its_response_and_progress(database_settings: Settings) -> None:
    async with working(database_settings, shout) as operations:
        started = await operations.start("shout", REQUEST, target="words/1")
        done = await operations.wait(started.name, WAIT_SECONDS)
        assert response_of(done) == "A REQUEST"
        progress = progress_of(done)
        assert (progress.target, progress.stage, progress.done, progress.total) == ("words/1", "shouting", 2, 2)
        assert dict(progress.counts) == {"kept": 1, "dropped": 3}
        assert progress.update_time.ToMilliseconds() >= progress.create_time.ToMilliseconds() > 0


async def test_failures_are_stored_with_what_to_do(database_settings: Settings) -> None:
    async def fail(context: OperationContext, request: StringValue) -> StringValue:
        if request.value == "unforeseen":
            raise RuntimeError("hunter2")
        raise errors.InvalidInput("value", request.value, "must be loud", remedy="shout")

    async with working(database_settings, fail) as operations:
        refused = await operations.wait((await operations.start("shout", REQUEST)).name, WAIT_SECONDS)
        error = from_status(refused.error)
        assert isinstance(error, errors.InvalidInput)
        assert (error.remedy, error.violations[0].field) == ("shout", "value")
        broken = await operations.start("shout", StringValue(value="unforeseen"))
        broken = await operations.wait(broken.name, WAIT_SECONDS)
        assert broken.error.code == code_pb2.INTERNAL
        assert "hunter2" not in str(broken)


async def test_a_request_id_names_one_request(database_settings: Settings) -> None:
    runs = 0

    async def count(context: OperationContext, request: StringValue) -> StringValue:
        nonlocal runs
        runs += 1
        return request

    async with working(database_settings, count) as operations:
        repeated = await asyncio.gather(*(operations.start("shout", REQUEST, request_id="one") for _ in range(5)))
        assert len({operation.name for operation in repeated}) == 1
        await operations.wait(repeated[0].name, WAIT_SECONDS)
        assert runs == 1
        with pytest.raises(errors.AlreadyExists, match="one"):
            await operations.start("shout", StringValue(value="another"), request_id="one")


async def test_cancelling_interrupts_and_is_told(database_settings: Settings) -> None:
    started = asyncio.Event()

    async def linger(context: OperationContext, request: StringValue) -> StringValue:
        started.set()
        await asyncio.Event().wait()
        return request

    async with working(database_settings, linger) as operations:
        operation = await operations.start("shout", REQUEST)
        await started.wait()
        with pytest.raises(errors.FailedPrecondition, match="at work"):
            await operations.delete(operation.name)
        await operations.cancel(operation.name)
        done = await operations.wait(operation.name, WAIT_SECONDS)
        assert done.error.code == code_pb2.CANCELLED
        await operations.delete(operation.name)
        with pytest.raises(errors.NotFound):
            await operations.get(operation.name)


async def test_a_thread_learns_of_the_cancellation(database_settings: Settings) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work_in_thread(context: OperationContext, request: StringValue) -> StringValue:
        loop = asyncio.get_running_loop()

        def grind() -> None:
            try:
                step = 0
                while True:
                    step += 1
                    context.report_from_thread(stage="grinding", done=step)
                    loop.call_soon_threadsafe(started.set)
            except errors.Cancelled:
                loop.call_soon_threadsafe(ended.set)

        await asyncio.to_thread(grind)
        return request

    async with working(database_settings, work_in_thread) as operations:
        operation = await operations.start("shout", REQUEST)
        await started.wait()
        await operations.cancel(operation.name)
        await asyncio.wait_for(ended.wait(), WAIT_SECONDS)


async def test_a_thread_learns_that_its_server_stops(database_settings: Settings) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work_in_thread(context: OperationContext, request: StringValue) -> StringValue:
        loop = asyncio.get_running_loop()

        def grind() -> None:
            loop.call_soon_threadsafe(started.set)
            while not context.interrupted:
                time.sleep(0.01)
            loop.call_soon_threadsafe(ended.set)
            context.raise_if_cancelled()

        await asyncio.to_thread(grind)
        return request

    async with working(database_settings, work_in_thread) as operations:
        operation = await operations.start("shout", REQUEST)
        await started.wait()
    await asyncio.wait_for(ended.wait(), WAIT_SECONDS)
    # It was not cancelled, so the next server goes on with it.
    async with working(database_settings, shout) as operations:
        assert response_of(await operations.wait(operation.name, WAIT_SECONDS)) == "A REQUEST"


async def test_a_stopped_server_hands_over_to_the_next(database_settings: Settings) -> None:
    started = asyncio.Event()

    async def linger(context: OperationContext, request: StringValue) -> StringValue:
        await context.report(stage="lingering", done=1)
        started.set()
        await asyncio.Event().wait()
        return request

    async with working(database_settings, linger) as operations:
        operation = await operations.start("shout", REQUEST)
        await started.wait()
    async with working(database_settings, shout) as operations:
        assert response_of(await operations.wait(operation.name, WAIT_SECONDS)) == "A REQUEST"


CRASHING = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
from google.protobuf.wrappers_pb2 import StringValue
from services.shared.database import Database
from services.shared.operations import Operations
from services.shared.settings import Settings
async def crash(context, request):
    os._exit(9)
async def main():
    settings = Settings(state_dir=sys.argv[1], database_url=sys.argv[2], operation_lease_seconds=0.5)
    database = Database.open(settings, "probe")
    await database.migrate()
    operations = Operations(database, settings)
    operations.register("shout", crash)
    operation = await operations.start("shout", StringValue(value="a request"))
    print(operation.name, flush=True)
    await operations.run()
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_killed_server_leaves_its_work_to_the_next(database_settings: Settings, pytestconfig: Any) -> None:
    program = CRASHING.format(root=str(pytestconfig.rootpath))
    command = [sys.executable, "-c", program, str(database_settings.state_dir), database_settings.database_url]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=100)
    assert killed.returncode == 9, killed.stderr
    async with working(database_settings, shout) as operations:
        assert response_of(await operations.wait(killed.stdout.strip(), WAIT_SECONDS)) == "A REQUEST"


async def test_replicas_share_the_work_and_none_runs_twice(database_settings: Settings) -> None:
    runs: list[str] = []

    async def note(context: OperationContext, request: StringValue) -> StringValue:
        runs.append(request.value)
        await asyncio.sleep(0.01)
        return request

    async with working(database_settings, note) as one, working(database_settings, note) as two:
        names = [
            (await replica.start("shout", StringValue(value=str(number)))).name
            for number, replica in enumerate([one, two] * 8)
        ]
        for name in names:
            await one.wait(name, WAIT_SECONDS)
    assert sorted(runs, key=int) == [str(number) for number in range(16)]


async def test_work_that_keeps_killing_its_server_is_given_up(database_settings: Settings) -> None:
    async def interrupted(context: OperationContext, request: StringValue) -> StringValue:
        raise AssertionError("must not be called again")

    database = Database.open(database_settings, "probe")
    await database.migrate()
    operations = Operations(database, database_settings)
    operations.register("shout", interrupted)
    operation = await operations.start("shout", REQUEST)
    for attempt in range(5):  # five servers that claimed it and died
        [row] = await operations._table.claim(f"dead-{attempt}", ["shout"], -1.0, 1)
        assert row.attempts == attempt + 1
    await operations.run()
    done = await operations.wait(operation.name, WAIT_SECONDS)
    assert "interrupted 5 times" in done.error.message
    await operations.stop()
    await database.close()


async def test_nobody_waits_for_a_server_that_stops(database_settings: Settings) -> None:
    started, waited = asyncio.Event(), asyncio.Event()

    class NotingOperations(Operations):
        async def wait(self, name: str, seconds: float) -> operations_pb2.Operation:
            waited.set()
            return await super().wait(name, seconds)

    async def linger(context: OperationContext, request: StringValue) -> StringValue:
        started.set()
        await asyncio.Event().wait()
        return request

    database = Database.open(database_settings, "probe")
    await database.migrate()
    operations = NotingOperations(database, database_settings)
    operations.register("shout", linger)
    async with AsyncExitStack() as channels:
        async with running(database_settings, "probe", [], operations=operations) as server:
            channel = await channels.enter_async_context(connect(server.address, TOKEN))
            operation = await operations.start("shout", REQUEST)
            request = operations_pb2.WaitOperationRequest(name=operation.name)
            waiting = asyncio.ensure_future(operations_pb2_grpc.OperationsStub(channel).WaitOperation(request))
            await started.wait()
            await waited.wait()
        # The call was answered, neither cut off nor waited out.
        assert not (await waiting).done
    await database.close()


async def test_the_operations_service_answers_over_grpc(database_settings: Settings) -> None:
    database = Database.open(database_settings, "probe")
    await database.migrate()
    operations = Operations(database, database_settings)
    operations.register("shout", shout)
    async with (
        running(database_settings, "probe", [], operations=operations) as server,
        connect(server.address, TOKEN) as channel,
    ):
        stub = operations_pb2_grpc.OperationsStub(channel)
        names = [(await operations.start("shout", REQUEST, target=f"words/{n}")).name for n in range(3)]
        for name in names:
            assert (await stub.WaitOperation(operations_pb2.WaitOperationRequest(name=name))).done
        first = await stub.ListOperations(operations_pb2.ListOperationsRequest(page_size=2, filter="done=true"))
        rest = await stub.ListOperations(
            operations_pb2.ListOperationsRequest(page_size=2, filter="done=true", page_token=first.next_page_token)
        )
        listed = [operation.name for operation in (*first.operations, *rest.operations)]
        assert listed == sorted(names, reverse=True)
        assert rest.next_page_token == ""
        request = operations_pb2.ListOperationsRequest(filter='target="words/1"')
        assert [operation.name for operation in (await stub.ListOperations(request)).operations] == [names[1]]
        with pytest.raises(grpc.RpcError) as failure:
            await stub.ListOperations(operations_pb2.ListOperationsRequest(filter="target = words"))
        assert isinstance(to_error(failure.value), errors.InvalidInput)
        with pytest.raises(grpc.RpcError) as failure:
            await stub.GetOperation(operations_pb2.GetOperationRequest(name="operations/none"))
        assert isinstance(to_error(failure.value), errors.NotFound)
        await stub.DeleteOperation(operations_pb2.DeleteOperationRequest(name=names[0]))
    await database.close()
