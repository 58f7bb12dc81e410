"""Sections of an experiment file as protobuf messages, with errors that name the field as the file has it."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf import json_format

from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, show

if TYPE_CHECKING:
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

UNKNOWN_FIELD = re.compile(r'has no field named "(?P<key>[^"]*)" at "(?P<where>[^"]*)"')
WRONG_VALUE = re.compile(r"Failed to parse (?P<where>\S+) field: (?P<why>.*)", re.DOTALL)


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
    unknown = UNKNOWN_FIELD.search(text)
    if unknown:
        path = below(unknown["where"], message)
        known = re.findall(r"'(\w+)'", text.partition("Available Fields")[2])
        nearest = difflib.get_close_matches(unknown["key"], known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
        return FieldViolation(f"{field}{path}.{unknown['key']}", "", f"is not a known key: {hint}")
    wrong = WRONG_VALUE.search(text)
    if wrong:
        rule, _, where = text.rpartition("field: ")[2].strip().rstrip(".").partition(f" at {message.DESCRIPTOR.name}")
        path = where or "".join(f".{name}" for name in re.findall(r"Failed to parse (\S+) field", text))
        return FieldViolation(f"{field}{path}", "", rule[0].lower() + rule[1:])
    return FieldViolation(field, show(text), "does not fit the schema")


def below(where: str, message: Message) -> str:
    """The path inside the message: "DatasetSpec.sources[0]" is ".sources[0]" here."""
    return where.removeprefix(message.DESCRIPTOR.name)
