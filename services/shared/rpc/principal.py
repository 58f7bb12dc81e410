"""Who calls, and what they may do.

current().name          # inside a servicer: "ann"
current().role          # Role.ANNOTATOR
current().require(Role.OPERATOR, "delete a dataset")
acting_person(request.annotator)    # the person named, if the caller may speak for them
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from services.shared.errors import InvalidInput, InvalidInputs, PermissionDenied, Unauthenticated
from services.shared.settings import Settings

MAXIMUM_TOKENS_FILE_BYTES = 1 << 20
SCHEME = "bearer "
PERSON = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class Role(IntEnum):
    """Each role may do what the ones below it may."""

    VIEWER = 1
    ANNOTATOR = 2
    OPERATOR = 3


@dataclass(frozen=True)
class Principal:
    name: str
    role: Role

    def require(self, role: Role, action: str) -> None:
        if self.role < role:
            raise PermissionDenied(
                f"{self.name} has role {self.role.name.lower()}; to {action} takes role {role.name.lower()}",
                remedy=f"use a token with role {role.name.lower()}",
            )


ANONYMOUS = Principal("anonymous", Role.VIEWER)
_current: ContextVar[Principal] = ContextVar("lima_principal", default=ANONYMOUS)


def current() -> Principal:
    """The caller of the RPC at work."""
    return _current.get()


def acting_person(requested: str, field: str = "annotator") -> str:
    """Whose act this is. Operators, as the console is one, act for the person they name; others for themselves."""
    caller = current()
    if requested and requested != caller.name and caller.role < Role.OPERATOR:
        raise PermissionDenied(
            f"{caller.name} cannot act as {requested}", remedy=f"leave {field} empty, or name yourself"
        )
    name = requested or caller.name
    if not PERSON.fullmatch(name):
        raise InvalidInput(field, name, "must be 1 to 128 characters without control characters")
    return name


def set_current(principal: Principal) -> None:
    """Only the interceptor calls this; each RPC is a task with a context of its own."""
    _current.set(principal)


class _Grant(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("role", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        names = {role.name.lower(): role for role in Role}
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return names[value]


class Tokens:
    """The tokens a server accepts, kept as digests."""

    def __init__(self, grants: Sequence[_Grant]) -> None:
        self._grants = [(bytes.fromhex(grant.sha256), Principal(grant.name, grant.role)) for grant in grants]

    @classmethod
    def from_settings(cls, settings: Settings) -> Tokens:
        grants = _read_grants(settings.tokens_file) if settings.tokens_file else []
        if settings.token is not None:
            digest = hashlib.sha256(settings.token.get_secret_value().encode()).hexdigest()
            grants.append(_Grant.model_validate({"name": "operator", "role": "operator", "sha256": digest}))
        if not grants:
            raise InvalidInput(
                "LIMA_TOKEN", "", "a server needs at least one token", "set LIMA_TOKEN or LIMA_TOKENS_FILE"
            )
        return cls(grants)

    def authenticate(self, authorization: str) -> Principal:
        """The principal of an `authorization` header. Raises Unauthenticated."""
        remedy = "send metadata 'authorization: Bearer TOKEN'; the command line reads LIMA_TOKEN"
        if not authorization:
            raise Unauthenticated("the call carries no token", remedy)
        if not authorization.lower().startswith(SCHEME):
            raise Unauthenticated("the authorization metadata is not a bearer token", remedy)
        digest = hashlib.sha256(authorization[len(SCHEME) :].strip().encode()).digest()
        found: Principal | None = None
        # Every grant is compared, so that the time tells nothing about which one came close.
        for known, principal in self._grants:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise Unauthenticated("the token is not known here", remedy)
        return found


def _read_grants(path: Path) -> list[_Grant]:
    field = "LIMA_TOKENS_FILE"
    rule = "must be a YAML or JSON list of {name, role, sha256}"
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(MAXIMUM_TOKENS_FILE_BYTES))
        return TypeAdapter(list[_Grant]).validate_python(content)
    except OSError as error:
        raise InvalidInput(field, str(path), f"must be a file that can be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise InvalidInput(field, str(path), rule) from error
    except ValidationError as error:
        # Without the values: they are digests of secrets.
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise InvalidInputs([InvalidInput(field, str(path), f"{rule}; {problem}") for problem in problems]) from error
