"""What all importers share: bounded reading, typed fields, and a list of what was wrong."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from services.judging.verdicts import Verdict
from services.shared.errors import InvalidInput, show

MAX_BYTES = 512 << 20
MAX_PROBLEMS = 100
MAX_TEXT = 1_000_000
_GZIP = b"\x1f\x8b"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One imported verdict. `prompt` is the prompt's text where the file holds it, to find the item by."""

    verdict: Verdict
    prompt: str = ""


@dataclass(slots=True)
class Imported:
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: int = 0

    def refuse(self, place: str, problem: str) -> None:
        """Leave a record out, and say so; the list of reasons is bounded, the count is not."""
        self.skipped += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{place}: {problem}")


class BadRecord(ValueError):
    """A record that cannot be read; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file, and where it stands."""

    values: Mapping[str, Any]
    place: str

    def get(self, key: str, kind: type[_T]) -> _T:
        """A field that must be there. Raises BadRecord."""
        value = self.values.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise BadRecord(f"{key} must be {kind.__name__}, got {show(value)}")
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise BadRecord(f"{key} must have at most {MAX_TEXT} characters, got {len(value)}")
        return value

    def optional(self, key: str, kind: type[_T], default: _T) -> _T:
        return default if self.values.get(key) is None else self.get(key, kind)

    def number(self, key: str) -> float | None:
        """A finite number, or None where there is none."""
        return number(self.values.get(key), key)

    def identifier(self, key: str) -> str:
        """An id that files write as a number or as text."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int) or not 0 < len(str(value)) <= 200:
            raise BadRecord(f"{key} must be a number or a short text, got {show(value)}")
        return str(value)


def number(value: Any, key: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise BadRecord(f"{key} must be a finite number, got {show(value)}")
    return float(value)


def read_records(stream: BinaryIO, field_name: str) -> Iterator[Record]:
    """The objects of a JSON array, or of JSON lines; gzip is seen through.

    Raises InvalidInput for what is neither, and for files beyond `MAX_BYTES`. A line that is not JSON
    is yielded as an empty record, so that it is counted where it stands.
    """
    text = read_text(stream, field_name)
    if text.lstrip().startswith("["):
        yield from _array(text, field_name)
        return
    for line_number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Record(_object(line), f"line {line_number}")


def read_text(stream: BinaryIO, field_name: str) -> str:
    data = stream.read(MAX_BYTES + 1)
    if data.startswith(_GZIP):
        data = _unzip(data, field_name)
    if len(data) > MAX_BYTES:
        raise InvalidInput(field_name, f"more than {MAX_BYTES} bytes", f"must have at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(field_name, f"byte {error.start}", "must be UTF-8 text") from None


def _unzip(data: bytes, field_name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped:
            return unzipped.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(field_name, "gzip", f"must be a whole gzip file ({error})") from None


def _array(text: str, field_name: str) -> Iterator[Record]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field_name, "JSON", f"must be a JSON array of objects ({error})") from None
    for index, value in enumerate(values):
        yield Record(value if isinstance(value, dict) else {}, f"entry {index}")


def _object(line: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
