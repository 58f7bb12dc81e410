"""Resource names: models/<name>, models/<name>/versions/<version>, aliases/<name>."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.shared.errors import InvalidInput

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
NAME_RULE = "must be 1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit"
VERSION_RULE = "must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit"
MODEL_RULE = "must be models/<name>, models/<name>/versions/<version>, aliases/<name>, or a bare name"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What a caller named; `version` empty is the newest one."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"models/{self.name}/versions/{self.version}" if self.version else f"models/{self.name}"


@dataclass(frozen=True, slots=True)
class AliasRef:
    name: str

    def __str__(self) -> str:
        return f"aliases/{self.name}"


@dataclass(frozen=True, slots=True)
class BareRef:
    """An alias of that name if there is one, else the model."""

    name: str

    def __str__(self) -> str:
        return self.name


Reference = ModelRef | AliasRef | BareRef


def parse_reference(text: str, field: str = "model") -> Reference:
    """Raises InvalidInput.

    >>> parse_reference("models/base/versions/v1")
    ModelRef(name='base', version='v1')
    >>> parse_reference("aliases/judge"), parse_reference("base")
    (AliasRef(name='judge'), BareRef(name='base'))
    """
    match text.split("/"):
        case ["models", name] if NAME.fullmatch(name):
            return ModelRef(name)
        case ["models", name, "versions", version] if NAME.fullmatch(name) and VERSION.fullmatch(version):
            return ModelRef(name, version)
        case ["aliases", name] if NAME.fullmatch(name):
            return AliasRef(name)
        case [name] if NAME.fullmatch(name):
            return BareRef(name)
    raise InvalidInput(field, text, MODEL_RULE)


def check_model_id(text: str, field: str = "model_id") -> str:
    if not NAME.fullmatch(text) or "--" in text:
        raise InvalidInput(field, text, f"{NAME_RULE}, without '--'")
    return text


def check_version(text: str, field: str = "version") -> str:
    if text and not VERSION.fullmatch(text):
        raise InvalidInput(field, text, VERSION_RULE)
    return text
