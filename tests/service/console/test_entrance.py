"""Who may come in, and what keeps others out."""

from __future__ import annotations

import pytest

from services.console.security import CONTENT_POLICY, MAX_BODY_BYTES
from services.console.sessions import COOKIE, Role
from tests.conftest import TOKEN
from tests.service.console.stack import Stack
from tests.service.console.visitor import DATA, Visitor, invitation_path

PAGES = ("/", "/review", "/author", "/datasets", "/runs", "/chat", "/annotate", "/studies", "/invite")
ALLOWED = {
    Role.VIEWER: {"/", "/datasets", "/runs", "/studies"},
    Role.ANNOTATOR: {"/", "/review", "/author", "/annotate"},
    Role.OPERATOR: set(PAGES),
}


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_led_to_the_sign_in(stack: Stack, path: str) -> None:
    answer = Visitor(stack).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")
    assert Visitor(stack).get(path, DATA).status_code == 401


@pytest.mark.parametrize("role", Role)
def test_each_role_opens_its_pages_and_no_other(stack: Stack, role: Role) -> None:
    visitor = Visitor(stack).come_in(stack, "sam", role)
    opened = {path for path in PAGES if visitor.get(path).status_code == 200}
    assert opened == ALLOWED[role]
    links = visitor.get("/").text
    assert all((f'href="{path}"' in links) == (path in ALLOWED[role]) for path in PAGES if path not in ("/", "/invite"))


def test_sign_in_by_token(stack: Stack) -> None:
    visitor = Visitor(stack)
    answer = visitor.post("/sign-in", {"token": TOKEN, "name": "Ann", "next": "/runs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    assert "Ann (operator)" in visitor.get("/").text


@pytest.mark.parametrize(
    ("token", "name"), [("wrong-token-1", "Ann"), ("", "Ann"), (TOKEN + "x", "Ann"), (TOKEN, ""), (TOKEN, "<b>")]
)
def test_a_sign_in_that_is_refused(stack: Stack, token: str, name: str) -> None:
    visitor = Visitor(stack)
    answer = visitor.post("/sign-in", {"token": token, "name": name})
    assert answer.status_code in (400, 403)
    assert visitor.get("/").status_code == 303


def test_sign_in_never_leads_elsewhere(stack: Stack) -> None:
    answer = Visitor(stack).post("/sign-in", {"token": TOKEN, "name": "Ann", "next": "//evil.example/"})
    assert answer.headers["location"] == "/"


def test_an_invitation_works_once(stack: Stack) -> None:
    path = invitation_path(stack, "mina", Role.ANNOTATOR)
    first, second = Visitor(stack), Visitor(stack)
    # Looking at it, as programs that preview links do, does not use it up.
    assert second.get(path).status_code == 200
    code = path.split("code=")[1]
    assert first.post("/invitation", {"code": code}).status_code == 303
    assert "mina (annotator)" in first.get("/").text
    assert second.post("/invitation", {"code": code}).status_code == 403
    assert second.get(path).status_code == 403
    assert second.get("/").status_code == 303


@pytest.mark.parametrize("code", ["", "x", "x" * 5000, "ÿ"])
def test_a_code_that_is_none(stack: Stack, code: str) -> None:
    assert Visitor(stack).post("/invitation", {"code": code}).status_code in (400, 403)


def test_an_operator_makes_invitations(stack: Stack) -> None:
    visitor = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    text = visitor.post("/invite", {"name": "vera", "role": "viewer"}).text
    link = text.split('id="link" readonly value="')[1].split('"')[0]
    guest = Visitor(stack)
    assert guest.post("/invitation", {"code": link.split("code=")[1]}).status_code == 303
    assert "vera (viewer)" in guest.get("/").text


def test_the_session_cookie_is_signed_http_only_and_same_site(stack: Stack) -> None:
    visitor = Visitor(stack)
    header = visitor.get("/sign-in").headers["set-cookie"]
    assert header.startswith(f"{COOKIE}=")
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header


def test_signing_in_changes_the_session(stack: Stack) -> None:
    """A session that somebody planted before sign-in is worth nothing after it."""
    visitor = Visitor(stack)
    visitor.get("/sign-in")
    before = visitor.cookies()[COOKIE]
    visitor.post("/sign-in", {"token": TOKEN, "name": "Ann"})
    assert visitor.cookies()[COOKIE] != before


def test_sign_out(stack: Stack) -> None:
    visitor = Visitor(stack).come_in(stack, "ann", Role.VIEWER)
    visitor.get("/")
    assert visitor.post("/sign-out").status_code == 303
    assert visitor.get("/").status_code == 303


WRITES = (
    "/sign-in", "/sign-out", "/preferences", "/invitation", "/invite", "/author/new", "/parts/diff", "/chat/stream",
    "/review/q/c/x/accept", "/review/q/undo", "/annotate/x/submit", "/runs/x/cancel", "/studies/x/report",
)  # fmt: skip


@pytest.mark.parametrize("path", WRITES)
def test_no_write_without_our_token(stack: Stack, path: str) -> None:
    visitor = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    assert visitor.bare_post(path, {"csrf": "0" * 64, "etag": "x"}).status_code == 403
    assert visitor.bare_post(path, {}).status_code == 403


def test_the_csrf_token_of_another_session_is_refused(stack: Stack) -> None:
    mine = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    other = Visitor(stack)
    mine.get("/")
    assert mine.bare_post("/sign-out", {"csrf": other.csrf()}).status_code == 403


def test_a_write_from_another_site_is_refused(stack: Stack) -> None:
    visitor = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    visitor.get("/")
    headers = {"accept": "text/html", "sec-fetch-site": "cross-site"}
    assert visitor.bare_post("/sign-out", {"csrf": visitor.csrf()}, headers).status_code == 403


@pytest.mark.parametrize("path", ["/sign-in", "/nothing", "/static/shell.js", "/healthz"])
def test_every_response_has_the_headers(stack: Stack, path: str) -> None:
    answer = Visitor(stack).get(path)
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_static_files_are_kept_and_pages_are_not(stack: Stack) -> None:
    visitor = Visitor(stack)
    page = visitor.get("/sign-in")
    assert page.headers["cache-control"] == "no-store"
    sheet = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
    kept = visitor.get(sheet)
    assert "immutable" in kept.headers["cache-control"]
    assert "set-cookie" not in kept.headers
    assert visitor.get("/static/../app.py").status_code == 404
    assert visitor.get("/static/%2e%2e/app.py").status_code == 404


def test_a_body_beyond_the_bound_is_refused(stack: Stack) -> None:
    visitor = Visitor(stack)
    answer = visitor.post("/sign-in", {"token": "x" * (MAX_BODY_BYTES + 1), "name": "Ann"})
    assert answer.status_code == 413


def test_language_and_theme_are_remembered(stack: Stack) -> None:
    visitor = Visitor(stack)
    visitor.get("/sign-in")
    answer = visitor.post("/preferences", {"locale": "ko", "theme": "dark", "next": "/sign-in"})
    assert answer.headers["location"] == "/sign-in"
    page = visitor.get("/sign-in").text
    assert '<html lang="ko" data-theme="dark">' in page
    assert "로그인" in page
    visitor.post("/preferences", {"locale": "xx", "theme": "evil", "next": "/sign-in"})
    assert '<html lang="ko" data-theme="dark">' in visitor.get("/sign-in").text


def test_an_unknown_page_is_told_in_the_language_of_the_browser(stack: Stack) -> None:
    answer = Visitor(stack).get("/nothing", {"accept": "text/html", "accept-language": "ko-KR"})
    assert answer.status_code == 404
    assert "찾는 것이 없습니다" in answer.text
