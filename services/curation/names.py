"""Resource names as requests carry them, taken apart and checked."""

from __future__ import annotations

import re

from services.shared.errors import InvalidInput

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def match_name(field: str, value: str) -> str:
    if not LABEL.fullmatch(value):
        raise InvalidInput(field, value, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
    return value


def parent_of(field: str, value: str, collection: str) -> str:
    """The label in "<collection>/<label>"."""
    prefix, _, label = value.partition("/")
    if prefix != collection or not LABEL.fullmatch(label):
        raise InvalidInput(field, value, f'must be "{collection}/<name>"')
    return label


def member_of(field: str, value: str, collection: str, members: str) -> tuple[str, str]:
    """(label, member) in "<collection>/<label>/<members>/<member>"."""
    parts = value.split("/")
    if len(parts) != 4 or parts[0] != collection or parts[2] != members:
        raise InvalidInput(field, value, f'must be "{collection}/<name>/{members}/<id>"')
    if not LABEL.fullmatch(parts[1]) or not MEMBER.fullmatch(parts[3]):
        raise InvalidInput(field, value, f'must be "{collection}/<name>/{members}/<id>"')
    return parts[1], parts[3]
