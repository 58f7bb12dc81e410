"""Operations: starts, runs, resumes and tells of long-running work. See the package's docstring."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from services.shared.database import Database
from services.shared.digest import digest_bytes
from services.shared.errors import (
    AlreadyExists,
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidInput,
    LimaError,
    NotFound,
)
from services.shared.operations.context import OperationContext
from services.shared.operations.metrics import OperationMetrics
from services.shared.operations.table import OperationTable, Row
from services.shared.program import until_available
from services.shared.rpc import principal
from services.shared.rpc.server import Service
from services.shared.rpc.status import to_status
from services.shared.settings import Settings

Handler = Callable[[OperationContext, Any], Awaitable[Message]]
PREFIX = "operations/"
MAXIMUM_ATTEMPTS = 5
MAXIMUM_REQUEST_ID = 128
POLL_SECONDS = 1.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.02, 0.5

log = structlog.get_logger()


class Operations:
    """The operations of one service; each of its replicas has one of these on the same database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._table = OperationTable(database)
        self._workers = settings.operation_workers
        self._lease_seconds = settings.operation_lease_seconds
        self._poll_seconds = min(POLL_SECONDS, self._lease_seconds / 5)
        self._owner = secrets.token_hex(8)
        self._handlers: dict[str, Handler] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._contexts: dict[str, OperationContext] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None
        self._renewed = time.monotonic()

    def register(self, kind: str, handler: Handler) -> None:
        """Name the handler of a kind. It must be idempotent: after a crash it runs again from the start."""
        if kind in self._handlers:
            raise ValueError(f"operations of kind {kind!r} have a handler already")
        self._handlers[kind] = handler

    def service(self) -> Service:
        """google.longrunning.Operations, to be served beside the service's own."""
        from services.shared.operations.servicer import operations_service

        return operations_service(self)

    async def start(
        self, kind: str, request: Message, *, target: str = "", request_id: str = ""
    ) -> operations_pb2.Operation:
        """Queue an operation. The same request id with the same request gives the operation made before."""
        if kind not in self._handlers:
            raise ValueError(f"operations of kind {kind!r} have no handler")
        if len(request_id) > MAXIMUM_REQUEST_ID:
            raise InvalidInput("request_id", request_id, f"must be at most {MAXIMUM_REQUEST_ID} characters")
        packed = any_pb2.Any()
        packed.Pack(request, deterministic=True)
        digest = digest_bytes(kind.encode() + b"\0" + packed.SerializeToString(deterministic=True))
        values = {
            # Grows with time, so that the newest is the largest.
            "id": f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}",
            "kind": kind,
            "target": target,
            "request_id": request_id or None,
            "request_digest": digest,
            "request": packed.SerializeToString(),
            "created_by": principal.current().name,
        }
        if not await self._table.insert(values):
            return await self._repeated(request_id, digest)
        self._wake.set()
        return await self.get(PREFIX + str(values["id"]))

    async def get(self, name: str) -> operations_pb2.Operation:
        return (await self._row(name)).to_operation()

    async def wait(self, name: str, seconds: float) -> operations_pb2.Operation:
        """The operation once it is done, or as it is after `seconds`, or when the server begins to stop."""
        end = time.monotonic() + seconds
        pause = FIRST_WAIT_SECONDS
        while True:
            row = await self._row(name)
            remaining = end - time.monotonic()
            if row.done or remaining <= 0 or self._stopping:
                return row.to_operation()
            await asyncio.sleep(min(pause, remaining))
            pause = min(pause * 1.5, LONGEST_WAIT_SECONDS)

    async def list(self, where: list[Any], before: str | None, size: int) -> list[operations_pb2.Operation]:
        """Operations, the newest first, after the id `before`."""
        return [row.to_operation() for row in await self._table.page(where, before, size)]

    async def cancel(self, name: str) -> None:
        """Ask for the cancellation; one that is done already stays as it is."""
        row = await self._row(name)
        await self._table.request_cancel(row.id)
        self._interrupt(row.id, cancelled=True)
        self._wake.set()

    async def delete(self, name: str) -> None:
        row = await self._row(name)
        if not row.done:
            raise FailedPrecondition(f"{name} is still at work", remedy="cancel it first")
        await self._table.delete(row.id)

    async def run(self, registry: CollectorRegistry | None = None) -> None:
        """Begin to work, with what an earlier process left unfinished first."""
        self._metrics = OperationMetrics(registry or CollectorRegistry())
        self._renewed = time.monotonic()
        self._loop = asyncio.create_task(self._work(), name="operations")

    def begin_stop(self) -> None:
        """Take on nothing more and let nobody wait: a server that drains must not wait for long work."""
        self._stopping = True

    async def stop(self) -> None:
        """Interrupt what is at work and hand it back, so that another replica resumes it at once."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        for identifier in list(self._contexts):
            self._interrupt(identifier)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _work(self) -> None:
        while True:
            try:
                await self._renew()
                await self._claim()
            except LimaError as error:
                # The database is away for a moment: go on when it is back.
                log.warning("operations wait for the database", error=error.message)
            except Exception:
                log.exception("the operations loop failed; it goes on")
            self._wake.clear()
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _renew(self) -> None:
        if time.monotonic() - self._renewed > self._lease_seconds:
            # The leases ran out unrenewed: others may have taken these over.
            for identifier in list(self._contexts):
                self._interrupt(identifier)
        if self._tasks:
            held = await self._table.renew(self._owner, list(self._tasks), self._lease_seconds)
            for identifier in list(self._contexts):
                if identifier not in held or held[identifier]:
                    self._interrupt(identifier, cancelled=held.get(identifier, False))
            for context in list(self._contexts.values()):
                await context.flush()
        self._renewed = time.monotonic()

    async def _claim(self) -> None:
        free = self._workers - len(self._tasks)
        if free <= 0 or self._stopping or not self._handlers:
            return
        for row in await self._table.claim(self._owner, self._handlers, self._lease_seconds, free):
            self._contexts[row.id] = self._context(row)
            task = asyncio.create_task(self._execute(row), name=PREFIX + row.id)
            self._tasks[row.id] = task
            task.add_done_callback(partial(self._forget, row.id))

    def _forget(self, identifier: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(identifier, None)
        self._contexts.pop(identifier, None)
        self._wake.set()

    def _interrupt(self, identifier: str, *, cancelled: bool = False) -> None:
        """Stop a handler: for good if it was cancelled, or else to hand the operation back."""
        context = self._contexts.get(identifier)
        if context is not None and not context.interrupted:
            context.interrupt(cancelled)
            self._tasks[identifier].cancel()

    async def _execute(self, row: Row) -> None:
        structlog.contextvars.bind_contextvars(operation=PREFIX + row.id, kind=row.kind)
        started = time.monotonic()
        outcome = "released"
        self._metrics.started(row.kind)
        try:
            outcome = await self._carry_out(row)
        except asyncio.CancelledError:
            await self._table.release(self._owner, row.id)
        except LimaError as error:
            log.warning("the outcome could not be stored; the operation will run again", error=error.message)
        finally:
            seconds = time.monotonic() - started
            self._metrics.ended(row.kind, outcome, seconds)
            log.info("operation " + outcome, target=row.target, seconds=round(seconds, 2))

    def _context(self, row: Row) -> OperationContext:
        async def write(progress: bytes) -> None:
            await self._table.write_progress(self._owner, row.id, progress)

        return OperationContext(PREFIX + row.id, row.target, row.progress, write)

    async def _carry_out(self, row: Row) -> str:
        """How the operation ended. Raises CancelledError if it must be handed back."""
        context = self._contexts[row.id]
        values = await self._outcome(row, context)
        await context.flush()
        # From here on it can be interrupted no more: its outcome is being stored.
        self._contexts.pop(row.id)
        # Hours of work must not be lost to a database that is away for a moment.
        if not await until_available(lambda: self._table.finish(self._owner, row.id, values), self._lease_seconds):
            # Its lease ran out and another replica took it over: that one's outcome counts.
            return "released"
        return "failed" if "error" in values else "succeeded"

    async def _outcome(self, row: Row, context: OperationContext) -> dict[str, bytes]:
        """The columns that an operation ends with. Raises CancelledError if it must be handed back."""
        try:
            if row.cancel_requested:
                raise Cancelled(f"{context.name} was cancelled")
            if row.attempts > MAXIMUM_ATTEMPTS:
                raise Internal(f"{context.name} was interrupted {MAXIMUM_ATTEMPTS} times", "look at the server's log")
            response = await self._handlers[row.kind](context, _unpack(row.request))
            packed = any_pb2.Any()
            packed.Pack(response)
            return {"response": packed.SerializeToString()}
        except (asyncio.CancelledError, Cancelled) as stop:
            if context.interrupted and not context.cancelled:
                raise asyncio.CancelledError from stop
            error: LimaError = stop if isinstance(stop, Cancelled) else Cancelled(f"{context.name} was cancelled")
        except LimaError as failure:
            error = failure
        except Exception:
            log.exception("the operation's handler failed")
            error = Internal(f"{context.name} failed", f"report this with the name {context.name}; see the log")
        return {"error": to_status(error).SerializeToString()}

    async def _repeated(self, request_id: str, digest: str) -> operations_pb2.Operation:
        row = await self._table.get(request_id=request_id)
        if row is None:
            raise Internal("an operation could not be stored", remedy="run this again")
        if row.request_digest != digest:
            raise AlreadyExists(
                "operation with request_id", request_id, remedy="a request_id names one request: use a new one"
            )
        return row.to_operation()

    async def _row(self, name: str) -> Row:
        row = await self._table.get(id=name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if row is None:
            raise NotFound("operation", name)
        return row


def _unpack(packed: bytes) -> Message:
    envelope = any_pb2.Any.FromString(packed)
    descriptor = descriptor_pool.Default().FindMessageTypeByName(envelope.TypeName())
    request = message_factory.GetMessageClass(descriptor)()
    envelope.Unpack(request)
    return request
