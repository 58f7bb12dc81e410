"""A browser without a screen: cookies, CSRF tokens, and nothing else."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx

from services.console.invitations import InvitationSigner
from services.console.security import CONTENT_POLICY
from services.console.sessions import Role
from tests.service.console.stack import Stack

CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]+)">')
PAGE = {"accept": "text/html"}
DATA = {"accept": "application/json"}


def invitation_path(stack: Stack, name: str, role: Role) -> str:
    code = InvitationSigner(stack.settings.secret()).issue(name, role)
    return f"/invitation?code={quote(code)}"


class Visitor:
    """Keeps every response it was given, so that a test can look through all of them; each has our policy."""

    def __init__(self, stack: Stack) -> None:
        self.client = httpx.Client(base_url=stack.url, timeout=60)
        self.seen: list[httpx.Response] = []

    def come_in(self, stack: Stack, name: str, role: Role) -> Visitor:
        """Through an invitation, as people do."""
        path = invitation_path(stack, name, role)
        assert self.get(path).status_code == 200
        answer = self.post("/invitation", {"code": re.split("code=", path)[1].replace("%3D", "=")})
        assert answer.status_code == 303, answer.text
        return self

    def get(self, path: str, headers: dict[str, str] = PAGE) -> httpx.Response:
        return self._keep(self.client.get(path, headers=headers))

    def follow(self, path: str) -> httpx.Response:
        """The page that redirects lead to."""
        answer = self.get(path)
        while answer.is_redirect:
            answer = self.get(answer.headers["location"])
        return answer

    def post(self, path: str, fields: object = None, headers: dict[str, str] = PAGE) -> httpx.Response:
        """A form, sent as one of our pages sends it."""
        return self._keep(self.client.post(path, data=fields or {}, headers={**headers, "x-csrf-token": self.csrf()}))

    def send_json(self, path: str, value: object) -> httpx.Response:
        return self._keep(self.client.post(path, json=value, headers={**DATA, "x-csrf-token": self.csrf()}))

    def bare_post(self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        """A post without our CSRF token."""
        return self._keep(self.client.post(path, data=fields, headers=headers or PAGE))

    def csrf(self) -> str:
        """The token of the session as it is now."""
        found = CSRF.search(self.client.get("/sign-in", headers=PAGE).text)
        assert found
        return found[1]

    def cookies(self) -> dict[str, str]:
        return dict(self.client.cookies)

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        policy = answer.headers["content-security-policy"]
        assert policy == CONTENT_POLICY or policy.startswith("sandbox; default-src 'none'"), answer.request.url
        self.seen.append(answer)
        return answer


def field(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return found[1]
