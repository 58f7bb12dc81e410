"""JSON records out of foreign files: JSON lines, one JSON array, Parquet or CSV. Bounded, located, never trusted."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from services.curation.funnel import MalformedLimit

MAX_LINE_BYTES = 16 << 20
MAX_ARRAY_BYTES = 1 << 30
Record = dict[str, Any]


def records_of(path: Path, name: str, malformed: MalformedLimit) -> Iterator[tuple[int, Record]]:
    """(byte offset, or row number for Parquet and CSV, and the record), by the extension of `name`."""
    lower = name.lower()
    if lower.endswith(".parquet"):
        yield from _parquet_rows(path, malformed)
    elif lower.endswith(".csv"):
        yield from _csv_rows(path, malformed)
    elif lower.endswith(".json") and _is_array(path):
        yield from _array(path, malformed)
    else:
        with path.open("rb") as file:
            yield from json_lines(file, malformed)


def json_lines(file: BinaryIO, malformed: MalformedLimit) -> Iterator[tuple[int, Record]]:
    """One JSON object per line. Blank lines are skipped; anything else that is no object is malformed."""
    offset = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        start, offset = offset, offset + len(line)
        if len(line) > MAX_LINE_BYTES:
            malformed.add(start, f"a line longer than {MAX_LINE_BYTES} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
                offset += len(line)
            continue
        if start == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        record = parse_object(line, start, malformed)
        if record is not None:
            yield start, record


def parse_object(data: bytes, offset: int, malformed: MalformedLimit) -> Record | None:
    try:
        value = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError) as error:
        malformed.add(offset, f"not JSON: {str(error)[:120]}")
        return None
    if not isinstance(value, dict):
        malformed.add(offset, f"a JSON {type(value).__name__}, not an object")
        return None
    return value


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _array(path: Path, malformed: MalformedLimit) -> Iterator[tuple[int, Record]]:
    if path.stat().st_size > MAX_ARRAY_BYTES:
        malformed.add(
            0, f"a JSON array of {path.stat().st_size} bytes; more than {MAX_ARRAY_BYTES} must come as JSON lines"
        )
        return
    try:
        values = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (orjson.JSONDecodeError, RecursionError) as error:
        malformed.add(0, f"not JSON: {str(error)[:120]}")
        return
    for place, value in enumerate(values):
        if isinstance(value, dict):
            yield place, value
        else:
            malformed.add(place, f"entry {place} of the array is a JSON {type(value).__name__}, not an object")


def _parquet_rows(path: Path, malformed: MalformedLimit) -> Iterator[tuple[int, Record]]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    place = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                yield place, row
                place += 1
    except (arrow.ArrowException, OSError) as error:
        malformed.add(place, f"not Parquet: {str(error)[:120]}")


def _csv_rows(path: Path, malformed: MalformedLimit) -> Iterator[tuple[int, Record]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    with path.open("rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="replace", newline="") as text:
        reader = csv.DictReader(text)
        place = 0
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                malformed.add(place, f"not CSV: {error}")
                return
            if row is None:
                return
            if None in row or any(value is None for value in row.values()):
                malformed.add(place, f"row {place} has another number of fields than the header")
            else:
                yield place, dict(row)
            place += 1


def text_field(record: Record, name: str) -> str:
    """A field as text with its ends trimmed; empty if it is absent or something else."""
    value = record.get(name)
    return value.replace("\x00", "").strip() if isinstance(value, str) else ""


def whole_field(record: Record, name: str, limit: int = 10_000_000) -> int | None:
    """A field as an integer within ±limit; None if it is absent or absurd."""
    value = record.get(name)
    if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > limit:
        return None
    return value
