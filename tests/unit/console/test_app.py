"""What the console does without any service behind it: refuse, slow down, and say that it has a fault."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from services.console.app import Doors, create_app
from services.console.attempts import MOST_REFUSALS
from services.console.security import CONTENT_POLICY
from services.console.sessions import COOKIE, Role, Session
from services.shared.errors import Unauthenticated
from services.shared.rpc.principal import Principal
from services.shared.rpc.principal import Role as TokenRole

TOKEN = "right"


def authenticate(header: str) -> Principal:
    if header != f"Bearer {TOKEN}":
        raise Unauthenticated("no such token")
    return Principal("ann", TokenRole.OPERATOR)


@asynccontextmanager
async def nothing() -> AsyncIterator[Any]:
    """No resources at all: every page that needs one has a fault."""
    yield None


def client_from(address: str, url: str = "http://console.test") -> TestClient:
    app = create_app(Doors(b"s" * 32, authenticate, url), nothing)
    return TestClient(app, base_url=url, client=(address, 50_000), headers={"accept": "text/html"})


@pytest.fixture
def client() -> Iterator[TestClient]:
    with client_from("192.0.2.1") as running:
        yield running


def sign_in(client: TestClient, token: str) -> Any:
    found = re.search(r'name="csrf" content="([0-9a-f]+)"', client.get("/sign-in").text)
    assert found
    return client.post("/sign-in", data={"token": token, "csrf": found[1]}, follow_redirects=False)


def test_guessing_tokens_is_slowed_down(client: TestClient) -> None:
    for number in range(MOST_REFUSALS):
        assert sign_in(client, f"guess {number}").status_code == 403
    blocked = sign_in(client, "guess")
    assert blocked.status_code == 429
    assert 0 < int(blocked.headers["retry-after"]) <= 300
    assert "five minutes" in blocked.text
    # Not even the right one is looked at, or a guess would tell.
    assert sign_in(client, TOKEN).status_code == 429


def test_signing_in_rightly_is_not_counted(client: TestClient) -> None:
    for _ in range(MOST_REFUSALS + 1):
        assert sign_in(client, TOKEN).status_code == 303


def test_a_fault_is_a_page_with_every_header_and_no_detail(client: TestClient) -> None:
    session = Session.signed_in("ann", Role.OPERATOR)
    client.cookies.set(COOKIE, client.app.state.keeper.seal(session))  # type: ignore[attr-defined]
    answer = client.get("/runs")
    assert answer.status_code == 500
    assert "The console has a fault." in answer.text
    assert "NoneType" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert client.get("/runs", headers={"accept": "application/json"}).json()["key"] == "error.internal"


@pytest.mark.parametrize(("url", "secure"), [("https://console.test", True), ("http://console.test", False)])
def test_behind_https_cookies_are_secure_and_browsers_are_told_to_stay(url: str, secure: bool) -> None:
    with client_from("192.0.2.1", url) as client:
        answer = client.get("/sign-in")
        assert ("; Secure" in answer.headers["set-cookie"]) is secure
        assert ("strict-transport-security" in answer.headers) is secure
