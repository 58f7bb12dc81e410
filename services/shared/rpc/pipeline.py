"""One interceptor that runs every RPC, of all four kinds, inside a stack of stages.

A stage is a function of a Call that gives an async context manager: what it does before the `yield`
happens before the servicer, what it does after it happens after. The first stage is the outermost.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services.shared.errors import InvalidInput
from services.shared.rpc.principal import ANONYMOUS, Principal
from services.shared.rpc.status import grpc_code


@dataclass
class Call:
    """One RPC at work, as the stages see it."""

    method: str
    context: grpc.aio.ServicerContext[Any, Any]
    streams_response: bool
    metadata: dict[str, str]
    request_id: str = ""
    principal: Principal = ANONYMOUS
    # Why it failed, as ErrorInfo says it.
    reason: str = ""
    started: float = field(default_factory=time.perf_counter)

    @property
    def code(self) -> grpc.StatusCode:
        """The status as it stands: a servicer or a stage may have set it."""
        number: Any = self.context.code()
        return number if isinstance(number, grpc.StatusCode) else grpc_code(number or 0)


Stage = Callable[[Call], AbstractAsyncContextManager[None]]


class Pipeline(grpc.aio.ServerInterceptor):
    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        metadata = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}
        behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_unary
        make = _MAKERS[handler.request_streaming, handler.response_streaming]
        return make(
            wrap(behaviour, details.method, metadata),
            request_deserializer=_guarded(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _wrap_unary(self, behaviour: Any, method: str, metadata: dict[str, str]) -> Any:
        async def run(request: Any, context: Any) -> Any:
            async with self._around(Call(method, context, False, metadata)):
                _check_read(request)
                return await behaviour(request, context)

        return run

    def _wrap_stream(self, behaviour: Any, method: str, metadata: dict[str, str]) -> Any:
        async def run(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._around(Call(method, context, True, metadata)):
                _check_read(request)
                answer = behaviour(request, context)
                if not inspect.isasyncgen(answer):
                    # The other style of aio servicers: a coroutine that calls context.write.
                    await answer
                    return
                async with aclosing(answer):
                    async for response in answer:
                        yield response

        return run

    @asynccontextmanager
    async def _around(self, call: Call) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for stage in self._stages:
                await stack.enter_async_context(stage(call))
            yield


@dataclass(frozen=True)
class _Unreadable:
    """In place of a request that is not a message of its type: refused by the stages like any other bad input."""

    fault: str


def _guarded(read: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if read is None:
        return None

    def guarded(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return guarded


def _check_read(request: Any) -> None:
    if isinstance(request, _Unreadable):
        raise InvalidInput("request", request.fault, "must be a message of its type, with texts in UTF-8")


_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
