"""Coming in and going out: sign-in by token or invitation, sign-out, language and theme."""

from __future__ import annotations

import math
from typing import Annotated
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from services.console import catalogue, security, views
from services.console.attempts import Attempts
from services.console.sessions import Permission, Role, Session, valid_name
from services.console.views import page
from services.shared.errors import Unauthenticated

router = APIRouter()
log = structlog.get_logger()
# The name under which every server knows the token of LIMA_TOKEN.
SHARED_NAME = "operator"
YEAR_SECONDS = 365 * 24 * 3600


@router.get("/healthz")
async def health() -> Response:
    """For probes: the console answers. Services that do not are told on the pages that need them."""
    return PlainTextResponse("ok")


@router.get("/sign-in")
async def sign_in_page(request: Request, next: str = "/") -> Response:
    return page(request, "sign_in.html", target=security.safe_target(next), name="", problem="")


@router.post("/sign-in")
async def sign_in(
    request: Request,
    token: Annotated[str, Form()],
    name: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    attempts: Attempts = request.app.state.attempts
    address = security.address_of(request)

    def refuse(problem: str, status: int = 403) -> Response:
        log.warning("sign-in refused", reason=problem, address=address)
        target = security.safe_target(next)
        return page(request, "sign_in.html", status, target=target, name=name[:63], problem=problem)

    if wait := attempts.wait_seconds(address):
        response = refuse("sign_in.too_many", 429)
        response.headers["retry-after"] = str(math.ceil(wait))
        return response
    try:
        principal = request.app.state.doors.authenticate(f"Bearer {token.strip()}")
    except Unauthenticated:
        attempts.refused(address)
        return refuse("sign_in.bad_token")
    # A token of one's own says who one is; the shared one does not, so its holder says it.
    name = name.strip() if principal.name == SHARED_NAME else principal.name
    if not valid_name(name):
        return refuse("sign_in.bad_name")
    security.change_session(request, Session.signed_in(name, Role[principal.role.name]))
    return RedirectResponse(security.safe_target(next), 303)


@router.get("/invitation")
async def invitation_page(request: Request, code: str = "") -> Response:
    """Asks before the invitation is used: programs that look at links in messages must not spend it."""
    invitation = request.app.state.signer.read(code)
    if invitation and await request.app.state.resources.ledger.is_spent(invitation):
        invitation = None
    return page(request, "invitation.html", 200 if invitation else 403, invitation=invitation, code=code)


@router.post("/invitation")
async def accept_invitation(request: Request, code: Annotated[str, Form()]) -> Response:
    invitation = request.app.state.signer.read(code)
    if invitation is None or not await request.app.state.resources.ledger.spend(invitation):
        return page(request, "invitation.html", 403, invitation=None, code="")
    security.change_session(request, Session.signed_in(invitation.name, invitation.role))
    return RedirectResponse("/", 303)


@router.get("/invite")
async def invite_page(
    request: Request, _session: Annotated[Session, Depends(security.need(Permission.OPERATE))]
) -> Response:
    return page(request, "invite.html", roles=list(Role), link="", name="", problem="")


@router.post("/invite")
async def invite(
    request: Request,
    name: Annotated[str, Form()],
    role: Annotated[Role, Form()],
    _session: Annotated[Session, Depends(security.need(Permission.OPERATE))],
) -> Response:
    name = name.strip()
    if not valid_name(name):
        return page(request, "invite.html", 400, roles=list(Role), link="", name="", problem="sign_in.bad_name")
    code = request.app.state.signer.issue(name, role)
    link = f"{request.app.state.doors.public_url}/invitation?code={quote(code)}"
    return page(request, "invite.html", roles=list(Role), link=link, name=name, problem="")


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    security.change_session(request, Session.visitor())
    return RedirectResponse("/sign-in", 303)


@router.post("/preferences")
async def set_preferences(
    request: Request,
    locale: Annotated[str, Form()],
    theme: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",
) -> Response:
    response = RedirectResponse(security.safe_target(next), 303)
    secure = request.app.state.doors.secure
    for cookie, value, allowed in (
        (views.LOCALE_COOKIE, locale, catalogue.LOCALES),
        (views.THEME_COOKIE, theme, views.THEMES),
    ):
        if value in allowed:
            response.set_cookie(
                cookie, value, max_age=YEAR_SECONDS, secure=secure, httponly=True, samesite="lax", path="/"
            )
    return response
