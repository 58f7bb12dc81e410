"""Who is signed in, kept in a signed cookie: the console itself remembers nobody."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from itsdangerous import BadSignature, URLSafeTimedSerializer

COOKIE = "lima_session"
NAME = re.compile(r"[\w][\w .@-]{0,62}")


class Role(StrEnum):
    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    OPERATOR = "operator"


class Permission(StrEnum):
    """What a page asks for. An annotator has no READ: the pages that it opens name the systems."""

    READ = "read"
    TASKS = "tasks"
    OPERATE = "operate"


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.ANNOTATOR: frozenset({Permission.TASKS}),
    Role.OPERATOR: frozenset(Permission),
}


@dataclass(frozen=True)
class Session:
    """One browser's visit. `id` also binds CSRF tokens; a visitor who has not signed in has no role."""

    id: str
    name: str = ""
    role: Role | None = None

    @classmethod
    def visitor(cls) -> Session:
        return cls(secrets.token_urlsafe(18))

    @classmethod
    def signed_in(cls, name: str, role: Role) -> Session:
        return cls(secrets.token_urlsafe(18), name, role)

    def may(self, permission: Permission) -> bool:
        return self.role is not None and permission in PERMISSIONS[self.role]


class SessionKeeper:
    """Seals sessions into cookie values and opens them again."""

    def __init__(self, secret: bytes, lifetime_seconds: int) -> None:
        self.lifetime_seconds = lifetime_seconds
        self._serializer = URLSafeTimedSerializer(secret, salt="lima.console.session")
        self._csrf_key = hmac.digest(secret, b"lima.console.csrf", "sha256")

    def seal(self, session: Session) -> str:
        return self._serializer.dumps(asdict(session))

    def open(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None when it is absent, forged, malformed or too old."""
        if not cookie or len(cookie) > 2048:
            return None
        try:
            fields = self._serializer.loads(cookie, max_age=self.lifetime_seconds)
            role = Role(fields["role"]) if fields["role"] else None
            return Session(fields["id"], fields["name"], role)
        except (BadSignature, KeyError, TypeError, ValueError):
            return None

    def csrf_token(self, session: Session) -> str:
        return hmac.new(self._csrf_key, session.id.encode(), hashlib.sha256).hexdigest()

    def csrf_valid(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(self.csrf_token(session).encode(), token.encode())


def valid_name(name: str) -> bool:
    """Whether a person may go by this name in reviews and verdicts."""
    return NAME.fullmatch(name) is not None
