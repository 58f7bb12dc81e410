"""Errors as pages that say what happened and what to do, in the visitor's language."""

from __future__ import annotations

from urllib.parse import urlencode

import grpc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from services.console.security import BodyTooLarge, Forbidden, SignInNeeded, wants_page
from services.console.views import page, translator_of
from services.shared import errors
from services.shared.rpc.status import to_error

log = structlog.get_logger()

# The first class that fits decides: (class, HTTP status, key of the explanation).
KINDS: tuple[tuple[type[errors.LimaError], int, str], ...] = (
    (errors.InvalidInput, 400, "error.invalid"),
    (errors.NotFound, 404, "error.not_found"),
    (errors.AlreadyExists, 409, "error.exists"),
    (errors.Conflict, 409, "error.conflict"),
    (errors.FailedPrecondition, 409, "error.precondition"),
    (errors.ResourceExhausted, 429, "error.busy"),
    (errors.Unavailable, 503, "error.unavailable"),
    (errors.DeadlineExceeded, 503, "error.slow"),
    (errors.Cancelled, 503, "error.unavailable"),
    (errors.Unauthenticated, 502, "error.backend_refused"),
    (errors.PermissionDenied, 502, "error.backend_refused"),
    (errors.Unimplemented, 501, "error.unimplemented"),
)
# Below these paths a service's own words are not shown: they might name a system.
BLIND_PATHS = ("/annotate",)


def describe(error: errors.LimaError) -> tuple[int, str]:
    """HTTP status and message key of a domain error."""
    for kind, status, key in KINDS:
        if isinstance(error, kind):
            return status, key
    return 500, "error.internal"


def answer(request: Request, status: int, key: str, detail: str = "") -> Response:
    """The error as a page for a person, or as JSON for one of our scripts."""
    if request.url.path.startswith(BLIND_PATHS):
        detail = ""
    if wants_page(request.headers):
        return page(request, "error.html", status, key=key, status=status, detail=detail)
    message = translator_of(request)(key)
    return JSONResponse({"error": f"{message} {detail}".strip(), "key": key}, status)


def register(app: FastAPI) -> None:
    """Gives every kind of failure its answer."""
    app.exception_handler(errors.LimaError)(_domain_error)
    app.exception_handler(grpc.aio.AioRpcError)(_rpc_error)
    app.exception_handler(SignInNeeded)(_sign_in_needed)
    app.exception_handler(Forbidden)(_forbidden)
    app.exception_handler(BodyTooLarge)(_too_large)
    app.exception_handler(RequestValidationError)(_malformed)
    app.exception_handler(HTTPException)(_http_error)


async def _domain_error(request: Request, error: errors.LimaError) -> Response:
    status, key = describe(error)
    response = answer(request, status, key, str(error))
    if error.retry_seconds is not None:
        response.headers["retry-after"] = str(max(1, round(error.retry_seconds)))
    return response


async def _rpc_error(request: Request, error: grpc.aio.AioRpcError) -> Response:
    return await _domain_error(request, to_error(error))


async def _sign_in_needed(request: Request, error: SignInNeeded) -> Response:
    if wants_page(request.headers):
        return RedirectResponse(f"/sign-in?{urlencode({'next': error.target})}", 303)
    return answer(request, 401, "error.signed_out")


async def _forbidden(request: Request, error: Forbidden) -> Response:
    return answer(request, 403, error.reason)


async def _too_large(request: Request, _error: BodyTooLarge) -> Response:
    return answer(request, 413, "error.too_large")


async def _malformed(request: Request, error: RequestValidationError) -> Response:
    fields = ", ".join(sorted({str(problem["loc"][-1]) for problem in error.errors()}))
    return answer(request, 400, "error.invalid", fields)


async def _http_error(request: Request, error: HTTPException) -> Response:
    key = {404: "error.not_found", 405: "error.not_found"}.get(error.status_code, "error.invalid")
    return answer(request, error.status_code, key)


async def fault(request: Request, error: Exception) -> Response:
    """The answer to what nobody foresaw; the log has the rest."""
    log.error("page failed", path=request.url.path, exc_info=error)
    return answer(request, 500, "error.internal")
