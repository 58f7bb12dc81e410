"""Errors as google.rpc.Status, and back. The only place that knows which error has which code.

to_status(NotFound("dataset", name))        # server side: the interceptor, and stored operations
try: await stub.GetDataset(request)
except grpc.RpcError as failure: raise to_error(failure) from None
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.shared import errors
from services.shared.errors import FieldViolation, LimaError

DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
DOMAIN = "lima"
REMEDY_KEY = "remedy"
VALUE_KEY = "value-{index}"
# gRPC refuses metadata beyond 8 KiB, in which the message travels twice, percent-encoded the second time.
MAXIMUM_TEXT_LENGTH = 500
MAXIMUM_STATUS_BYTES = 5000

_CODES: dict[type[LimaError], int] = {
    errors.InvalidInput: code_pb2.INVALID_ARGUMENT,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.Conflict: code_pb2.ABORTED,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.DiskFull: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.Cancelled: code_pb2.CANCELLED,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.Unimplemented: code_pb2.UNIMPLEMENTED,
    errors.DataCorrupt: code_pb2.DATA_LOSS,
    errors.Internal: code_pb2.INTERNAL,
}
_BY_REASON = {cls.reason: cls for cls in _CODES}
_BY_CODE = {code: cls for cls, code in reversed(_CODES.items())}
_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: LimaError) -> int:
    """The google.rpc.Code of an error: its class's, or the nearest base's."""
    return next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), code_pb2.INTERNAL)


def grpc_code(code: int) -> grpc.StatusCode:
    return _GRPC_CODES.get(code, grpc.StatusCode.UNKNOWN)


def to_status(error: LimaError) -> status_pb2.Status:
    """A status with one ErrorInfo, the field violations that fit, and the delay before a retry if one is known."""
    violations = list(error.violations)
    status = _build(error, violations)
    while violations and status.ByteSize() > MAXIMUM_STATUS_BYTES:
        violations.pop()
        status = _build(error, violations)
    return status


def from_status(status: status_pb2.Status) -> LimaError:
    """The error that `to_status` was given, as far as a status can tell."""
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    retry_seconds: float | None = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(request)
        if detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    metadata = dict(info.metadata)
    remedy = metadata.pop(REMEDY_KEY, "")
    violations = [
        FieldViolation(violation.field, metadata.pop(VALUE_KEY.format(index=index), ""), violation.description)
        for index, violation in enumerate(request.field_violations)
    ]
    cls = _BY_CODE.get(status.code, errors.Internal)
    if info.domain == DOMAIN:
        cls = _BY_REASON.get(info.reason, cls)
    return cls.rebuild(
        status.message, remedy=remedy, violations=violations, retry_seconds=retry_seconds, metadata=metadata
    )


def to_error(failure: grpc.RpcError) -> LimaError:
    """What a failed call says, as an error of ours; its `metadata` holds the request id."""
    code: grpc.StatusCode = failure.code()
    message = str(failure.details() or "")
    pairs: Any = failure.trailing_metadata() or ()
    trailing: dict[str, Any] = {key: value for key, value in pairs}  # noqa: C416 - pairs, or an aio Metadata
    error = _from_trailing(trailing) or _without_details(code, message)
    request_id = trailing.get(REQUEST_ID_KEY)
    if request_id:
        error.metadata["request_id"] = str(request_id)
    return error


def _from_trailing(trailing: dict[str, Any]) -> LimaError | None:
    packed = trailing.get(DETAILS_KEY)
    if not isinstance(packed, bytes):
        return None
    try:
        return from_status(status_pb2.Status.FromString(packed))
    except DecodeError:
        return None


def _without_details(code: grpc.StatusCode, message: str) -> LimaError:
    """A failure that no server of ours worded: the transport's, or a proxy's."""
    number: int = code.value[0]
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(
            f"the service does not answer: {message}", remedy="start it (on one machine: lima up), then run this again"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(
            "the service did not answer in time", remedy="run this again, or allow more time"
        )
    return _BY_CODE.get(number, errors.Internal).rebuild(message or code.name)


def _build(error: LimaError, violations: Sequence[FieldViolation]) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = bounded(value)
    if error.remedy:
        info.metadata[REMEDY_KEY] = bounded(error.remedy)
    request = error_details_pb2.BadRequest()
    for index, violation in enumerate(violations):
        info.metadata[VALUE_KEY.format(index=index)] = violation.value
        request.field_violations.add(field=violation.field, description=bounded(violation.rule))
    details: list[Message] = [info]
    if violations:
        details.append(request)
    if error.retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_of(error), message=bounded(error.message))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def bounded(text: str) -> str:
    return text if len(text) <= MAXIMUM_TEXT_LENGTH else f"{text[:MAXIMUM_TEXT_LENGTH]}…"
