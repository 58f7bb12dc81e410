"""Channels to our servers.

    async with connect("127.0.0.1:50051", token="...") as channel:
        stub = curation_pb2_grpc.CurationServiceStub(channel)
        try:
            dataset = await stub.GetDataset(request)
        except grpc.RpcError as failure:
            raise to_error(failure) from None

    channel = connect_blocking("127.0.0.1:50051", token="...")   # the same for code without a loop

Every name the address resolves to is used in turn; only UNAVAILABLE is retried, by gRPC itself.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
import structlog

from services.shared.rpc.status import REQUEST_ID_KEY
from services.shared.rpc.tls import channel_credentials
from services.shared.settings import Settings

DEFAULT_SECONDS = 30.0
SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:")
MESSAGE_MEBIBYTES = 64

SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def connect(
    address: str, token: str | None = None, *, settings: Settings | None = None, seconds: float = DEFAULT_SECONDS
) -> grpc.aio.Channel:
    """An aio channel to "host:port", or any gRPC target. `seconds` is the deadline of unary calls that name none."""
    interceptors = [kind(token, seconds) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    credentials = channel_credentials(settings) if settings else None
    if credentials is None:
        return grpc.aio.insecure_channel(_target(address), options=_options(), interceptors=interceptors)
    return grpc.aio.secure_channel(_target(address), credentials, options=_options(), interceptors=interceptors)


def connect_blocking(
    address: str, token: str | None = None, *, settings: Settings | None = None, seconds: float = DEFAULT_SECONDS
) -> grpc.Channel:
    """As `connect`, for threads without an event loop."""
    credentials = channel_credentials(settings) if settings else None
    if credentials is None:
        channel = grpc.insecure_channel(_target(address), options=_options())
    else:
        channel = grpc.secure_channel(_target(address), credentials, options=_options())
    return grpc.intercept_channel(channel, _Blocking(token, seconds))


def _target(address: str) -> str:
    return address if address.startswith(SCHEMES) else f"dns:///{address}"


def _options() -> list[tuple[str, Any]]:
    limit = MESSAGE_MEBIBYTES << 20
    return [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        # A peer that vanished without closing is noticed during long streams.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


class _Details(NamedTuple):
    method: Any
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any = None


class _Completion:
    """Adds the token, a request id and, to unary calls, a deadline."""

    def __init__(self, token: str | None, seconds: float) -> None:
        self._token = token
        self._seconds = seconds

    def _complete(self, details: Any, unary: bool) -> _Details:
        metadata = [*(details.metadata or ())]
        keys = {key for key, _ in metadata}
        if self._token and "authorization" not in keys:
            metadata.append(("authorization", f"Bearer {self._token}"))
        if REQUEST_ID_KEY not in keys:
            # A call made while serving another carries that one's id, so that their log lines meet.
            serving = structlog.contextvars.get_contextvars().get("request_id")
            metadata.append((REQUEST_ID_KEY, serving or secrets.token_hex(8)))
        timeout = self._seconds if details.timeout is None and unary else details.timeout
        return _Details(details.method, timeout, metadata, details.credentials, details.wait_for_ready)


class _AioCompletion(_Completion):
    unary = True

    async def _call(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        complete = self._complete(details, self.unary)
        metadata = grpc.aio.Metadata(*complete.metadata)
        return await continuation(
            grpc.aio.ClientCallDetails(
                complete.method, complete.timeout, metadata, complete.credentials, complete.wait_for_ready
            ),
            request,
        )


class _UnaryUnary(_AioCompletion, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _UnaryStream(_AioCompletion, grpc.aio.UnaryStreamClientInterceptor):
    unary = False

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._call(continuation, client_call_details, request)


class _StreamUnary(_AioCompletion, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _StreamStream(_AioCompletion, grpc.aio.StreamStreamClientInterceptor):
    unary = False

    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._call(continuation, client_call_details, request_iterator)


class _Blocking(
    _Completion,
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._complete(client_call_details, True), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._complete(client_call_details, False), request)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(self._complete(client_call_details, True), request_iterator)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(self._complete(client_call_details, False), request_iterator)
