"""What stands between a browser and the pages: headers, body bounds, CSRF, permissions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console.sessions import COOKIE, Permission, Session, SessionKeeper

MAX_BODY_BYTES = 1 << 20
# From what nobody foresaw to the page that says so.
Fault = Callable[[Request, Exception], Awaitable[Response]]
SAFE_METHODS = frozenset({"GET", "HEAD"})
CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


class SignInNeeded(Exception):
    """The page needs a session; `target` is where to go after sign-in."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


class Forbidden(Exception):
    """`reason` is the key of the message that explains it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BodyTooLarge(HTTPException):
    """An HTTPException, since what reads bodies turns any other into a malformed request."""

    def __init__(self) -> None:
        super().__init__(413)


class Gate:
    """Opens the session, bounds the body, and puts the security headers on every response."""

    def __init__(self, app: ASGIApp, keeper: SessionKeeper, secure: bool, fault: Fault) -> None:
        self._app = app
        self._keeper = keeper
        self._secure = secure
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = self._keeper.open(_cookie(scope))
        fresh = session is None
        state = scope.setdefault("state", {})
        state["session"] = session or Session.visitor()
        state["session_changed"] = fresh

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._decorate(MutableHeaders(scope=message), state)
            await send(message)

        try:
            await self._app(scope, _bounded(receive), send_with_headers)
        except Exception as error:
            # Answered here, so that this page too has the headers and the connection stays.
            if started:
                raise
            response = await self._fault(Request(scope), error)
            await response(scope, receive, send_with_headers)

    def _decorate(self, headers: MutableHeaders, state: dict[str, object]) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self._secure:
            headers.setdefault("strict-transport-security", "max-age=31536000")
        session = state["session"]
        if not state["session_changed"] or not isinstance(session, Session):
            return
        if headers["cache-control"] != "no-store":
            return  # A cookie never travels with a response that a cache may keep.
        flags = "; Secure" if self._secure else ""
        headers.append(
            "set-cookie",
            f"{COOKIE}={self._keeper.seal(session)}; Path=/; HttpOnly; SameSite=Lax"
            f"; Max-Age={self._keeper.lifetime_seconds}{flags}",
        )


def _cookie(scope: Scope) -> str | None:
    return Request(scope).cookies.get(COOKIE)


def _bounded(receive: Receive) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise BodyTooLarge
        return message

    return bounded


def address_of(request: Request) -> str:
    """Where a visitor comes from, as far as the server knows."""
    return request.client.host if request.client else ""


def session_of(request: Request) -> Session:
    session: Session = request.state.session
    return session


def change_session(request: Request, session: Session) -> None:
    """Makes the response carry this session's cookie."""
    request.state.session = session
    request.state.session_changed = True


async def check_csrf(request: Request) -> None:
    """Refuses a write that our own pages did not send. A dependency of every route."""
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("error.csrf")
    keeper: SessionKeeper = request.app.state.keeper
    if not keeper.csrf_valid(session_of(request), await _submitted_token(request)):
        raise Forbidden("error.csrf")


async def _submitted_token(request: Request) -> str:
    header = request.headers.get("x-csrf-token")
    if header is not None:
        return header
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        value = (await request.form()).get("csrf", "")
        return value if isinstance(value, str) else ""
    return ""


def need(permission: Permission) -> Callable[[Request], Awaitable[Session]]:
    """A dependency that yields the session of someone who may."""

    async def permitted(request: Request) -> Session:
        session = session_of(request)
        if session.role is None:
            raise SignInNeeded(request.url.path if request.method in SAFE_METHODS else "/")
        if not session.may(permission):
            raise Forbidden("error.forbidden")
        return session

    return permitted


def safe_target(target: str) -> str:
    """Where a redirect may lead: a path of this console, never another host."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    return quote(target, safe="/?&=%:,.-_~")


def wants_page(headers: Headers) -> bool:
    """Whether a person's browser asked for a page, and not one of our scripts for data."""
    return "text/html" in headers.get("accept", "")
