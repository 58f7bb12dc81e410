"""What every RPC goes through: observation, error mapping, authentication, deadline. Outermost first."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import structlog

from services.shared import errors
from services.shared.errors import DeadlineExceeded, Internal, InvalidInput, LimaError
from services.shared.rpc import principal
from services.shared.rpc.metrics import RpcMetrics
from services.shared.rpc.pipeline import Call, Stage
from services.shared.rpc.principal import Role, Tokens
from services.shared.rpc.status import DETAILS_KEY, REQUEST_ID_KEY, bounded, grpc_code, to_status
from services.shared.settings import Settings

# Kubernetes probes and tools such as grpcurl cannot send a token; neither service tells a secret.
OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

log = structlog.get_logger()


def is_open(method: str) -> bool:
    return method.startswith(OPEN_SERVICES)


def observe(metrics: RpcMetrics) -> Stage:
    """One log line and one measurement per RPC; the request id goes back in the trailing metadata."""

    @asynccontextmanager
    async def stage(call: Call) -> AsyncIterator[None]:
        given = call.metadata.get(REQUEST_ID_KEY, "")
        call.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        call.context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        # The RPC is a task with a context of its own, so nothing has to be unbound.
        structlog.contextvars.bind_contextvars(request_id=call.request_id, method=call.method)
        code: grpc.StatusCode | None = None
        metrics.started(call.method)
        try:
            yield
        except asyncio.CancelledError:
            remaining = call.context.time_remaining()
            late = remaining is not None and remaining <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        finally:
            seconds = time.perf_counter() - call.started
            code = code or call.code
            metrics.finished(call.method, code.name, seconds)
            write = log.debug if is_open(call.method) else log.info
            failure = {"reason": call.reason} if call.reason else {}
            write("rpc", code=code.name, seconds=round(seconds, 4), principal=call.principal.name, **failure)

    return stage


@asynccontextmanager
async def map_errors(call: Call) -> AsyncIterator[None]:
    """Domain errors become statuses; anything else becomes INTERNAL that tells no internals."""
    try:
        yield
    except LimaError as error:
        await _abort(call, error)
    except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception:
        log.exception("the servicer failed")
        remedy = f"report this with the request id {call.request_id}; the server's log holds the cause"
        await _abort(call, Internal(f"internal error (request id {call.request_id})", remedy))


def authenticate(tokens: Tokens, roles: Mapping[str, Role]) -> Stage:
    """`roles` maps a full method ("/package.Service/Method") to the role it takes; OPERATOR by default."""

    @asynccontextmanager
    async def stage(call: Call) -> AsyncIterator[None]:
        if not is_open(call.method):
            call.principal = tokens.authenticate(call.metadata.get("authorization", ""))
            principal.set_current(call.principal)
            call.principal.require(roles.get(call.method, Role.OPERATOR), f"call {call.method}")
        yield

    return stage


def limit_time(settings: Settings) -> Stage:
    """A call without a deadline gets one; a call with an absurd one is refused."""
    default, maximum = settings.rpc_default_seconds, settings.rpc_maximum_seconds

    @asynccontextmanager
    async def stage(call: Call) -> AsyncIterator[None]:
        remaining = call.context.time_remaining()
        if is_open(call.method) or (remaining is not None and remaining <= maximum):
            yield
            return
        if remaining is not None:
            raise InvalidInput("deadline", f"{remaining:.0f} s", f"must be at most {maximum:.0f} s")
        # Streams may be long on purpose: they get the longest deadline that is allowed.
        seconds = maximum if call.streams_response else default
        try:
            async with asyncio.timeout(seconds) as timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            raise DeadlineExceeded(
                f"not done after {seconds:.0f} s", remedy="run this again with a longer deadline"
            ) from None

    return stage


async def _abort(call: Call, error: LimaError) -> None:
    call.reason = error.reason
    if isinstance(error, errors.DataCorrupt | errors.Unavailable):
        log.warning("a part the service rests on failed", reason=error.reason, message=error.message)
    status = to_status(error)
    own = tuple(call.context.trailing_metadata() or ())
    await call.context.abort(
        grpc_code(status.code),
        bounded(error.message),
        trailing_metadata=(*own, (DETAILS_KEY, status.SerializeToString())),
    )
