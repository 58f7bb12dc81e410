"""Sections of an experiment file as protobuf messages, with errors that name the field as the file has it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

WHOLE_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
NUMBERS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


def parse_message(section: Any, message: M, field: str) -> M:
    """Fill `message` from a section of a YAML file.

    Raises InvalidInputs for every unknown key (with the nearest known one), wrong type and unknown enum value.
    """
    violations = list(of_map(section, cast("Descriptor", message.DESCRIPTOR), field))
    if violations:
        raise InvalidInputs(violations)
    try:
        json_format.ParseDict(section, message)
    except json_format.ParseError as error:
        raise InvalidInput(field, section, str(error)) from error
    return message


def of_map(section: Any, descriptor: Descriptor, path: str) -> Iterator[FieldViolation]:
    """What is wrong with a section that should be a message."""
    if descriptor.full_name.startswith("google.protobuf."):
        # Free-form values, durations and the like have JSON forms of their own.
        return
    if not isinstance(section, dict):
        yield FieldViolation(path, show(section), "must be a map of keys to values")
        return
    known = descriptor.fields_by_name
    for key, value in section.items():
        if key in known:
            yield from of_field(value, known[key], f"{path}.{key}")
            continue
        nearest = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
        yield FieldViolation(f"{path}.{key}", "", f"is not a known key: {hint}")


def of_field(value: Any, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if value is None:
        # An empty value in YAML leaves the field at its default.
        return
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            yield FieldViolation(path, show(value), "must be a map of keys to values")
            return
        for key, entry in value.items():
            yield from of_value(entry, field.message_type.fields_by_name["value"], f"{path}.{key}")
    elif field.is_repeated:
        if not isinstance(value, list):
            yield FieldViolation(path, show(value), "must be a list")
            return
        for index, entry in enumerate(value):
            yield from of_value(entry, field, f"{path}[{index}]")
    else:
        yield from of_value(value, field, path)


def of_value(value: Any, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if field.message_type is not None:
        yield from of_map(value, field.message_type, path)
        return
    rule = broken_rule(value, field)
    if rule:
        yield FieldViolation(path, show(value), rule)


def broken_rule(value: Any, field: FieldDescriptor) -> str:
    """The rule that a single value breaks, or nothing."""
    kind = field.cpp_type
    if kind in WHOLE_NUMBERS:
        low, high = WHOLE_NUMBERS[kind]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if fits else f"must be a whole number from {low} to {high}"
    if kind in NUMBERS:
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "must be a number"
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return "" if isinstance(value, bool) else "must be true or false"
    if field.enum_type is not None:
        names = [name for name in field.enum_type.values_by_name if not name.endswith("_UNSPECIFIED")]
        return "" if value in names else f"must be one of {', '.join(names)}"
    return "" if isinstance(value, str) else "must be text (in quotes, if it looks like a number)"
