"""Domain errors in the OpenAI form: status, type, param and code."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from services.inference.openai_api import replies
from services.shared.errors import (
    FailedPrecondition,
    InvalidInput,
    LimaError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

# The first that fits counts.
FORMS: tuple[tuple[type[LimaError], int, str], ...] = (
    (InvalidInput, 400, "invalid_request_error"),
    (Unauthenticated, 401, "authentication_error"),
    (PermissionDenied, 403, "permission_error"),
    (NotFound, 404, "invalid_request_error"),
    (FailedPrecondition, 409, "invalid_request_error"),
    (ResourceExhausted, 429, "rate_limit_error"),
    (Unavailable, 503, "server_error"),
    (LimaError, 500, "server_error"),
)


def reply_to(error: LimaError) -> JSONResponse:
    status, kind = next((status, kind) for cls, status, kind in FORMS if isinstance(error, cls))
    headers = {"retry-after": f"{error.retry_seconds:g}"} if error.retry_seconds else {}
    param = error.violations[0].field if error.violations else None
    return JSONResponse(replies.error(str(error), kind, param=param, code=error.reason.lower()), status, headers)


def install_errors(api: FastAPI) -> None:
    @api.exception_handler(LimaError)
    async def told(_: Request, error: LimaError) -> JSONResponse:
        return reply_to(error)

    @api.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        message = f"{field}: {first['msg']}" if field else first["msg"]
        return JSONResponse(replies.error(message, "invalid_request_error", param=field or None), 400)
