"""Sections of an experiment file as protobuf messages, with errors that name the field as the file has it."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format

from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

UNKNOWN_FIELD = re.compile(r'has no field named "(?P<key>[^"]*)" at "(?P<where>[^"]*)"')
FAILED_FIELD = re.compile(r"Failed to parse (\S+) field: ")


def parse_message(section: Any, message: M, field: str) -> M:
    """Fill `message` from a section of a YAML file.

    Raises InvalidInputs for an unknown key (with the nearest known one), a wrong type or an unknown enum value.
    """
    if not isinstance(section, dict):
        raise InvalidInput(field, section, "must be a map of keys to values")
    try:
        json_format.ParseDict(section, message)
    except json_format.ParseError as error:
        raise InvalidInputs([explain(str(error), message, field)]) from error
    return message


def explain(text: str, message: Message, field: str) -> FieldViolation:
    """What the JSON parser of protobuf found wrong, in the words of the file."""
    root = message.DESCRIPTOR.name
    unknown = UNKNOWN_FIELD.search(text)
    if unknown:
        known = [snake_case(name) for name in re.findall(r"'(\w+)'", text.partition("Available Fields")[2])]
        nearest = difflib.get_close_matches(unknown["key"], known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
        path = unknown["where"].removeprefix(root)
        return FieldViolation(f"{field}{path}.{unknown['key']}", "", f"is not a known key: {hint}")
    rule, _, where = FAILED_FIELD.sub("", text).strip().rstrip(".").partition(f" at {root}")
    path = where or "".join(f".{name}" for name in FAILED_FIELD.findall(text))
    return FieldViolation(f"{field}{path}", "", rule[0].lower() + rule[1:])


def snake_case(name: str) -> str:
    """
    >>> snake_case("maxTokens")
    'max_tokens'
    """
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
