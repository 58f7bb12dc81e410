"""Rows of a Stack Exchange dump, found at the speed of memory.

A dump is one `<row .../>` per line. In well-formed XML a raw "<" can stand nowhere but at the start of a tag, so
searching that one byte (memchr) finds every row, and the attributes that decide are matched in place. Only rows that
survive are decoded. Nothing here expands entities or reads document types: a file that has them is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from services.curation.funnel import MalformedLimit

BLOCK_BYTES = 1 << 20
# Stack Exchange limits a body to 30,000 characters; a row far beyond that is not a row.
MAX_ROW_BYTES = 2 << 20

_ATTRIBUTE = re.compile(rb'\s+([A-Za-z_][\w.-]*)\s*=\s*(?:"([^"<]*)"|\'([^\'<]*)\')')
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(lt|gt|amp|quot|apos));?|&")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class MalformedRow(ValueError):
    """A row that is not well-formed XML, not UTF-8, or whose values make no sense."""


def blocks(file: BinaryIO, malformed: MalformedLimit) -> Iterator[tuple[int, bytearray, int]]:
    """(offset of the buffer in the file, the buffer, where its last whole row ends).

    A row ends where the next tag starts. What follows the last whole row is moved to the front of the next block, so
    memory is one buffer for all blocks: what is kept of it must be copied before the next is asked for.
    """
    buffer = bytearray(MAX_ROW_BYTES + BLOCK_BYTES)
    view = memoryview(buffer)
    base = carried = 0
    while got := _read_into(file, view[carried : carried + BLOCK_BYTES]):
        end = carried + got
        last = buffer.rfind(b"<", 0, end)
        if last > 0:
            yield base, buffer, last
        last = max(last, 0)
        if end - last > MAX_ROW_BYTES:
            malformed.add(base + last, f"a row longer than {MAX_ROW_BYTES} bytes")
            last = end
        carried = end - last
        buffer[:carried] = buffer[last:end]
        base += last
    if carried:
        yield base, buffer, carried


def _read_into(file: BinaryIO, view: memoryview) -> int:
    return file.readinto(view)  # type: ignore[attr-defined, no-any-return]


def tags(file: BinaryIO, malformed: MalformedLimit) -> Iterator[tuple[int, bytearray, int, int]]:
    """(offset of the buffer, the buffer, start of a tag in it, start of the next) for every tag of a file."""
    for base, buffer, limit in blocks(file, malformed):
        start = buffer.find(b"<", 0, limit)
        while start >= 0:
            following = buffer.find(b"<", start + 1, limit)
            end = following if following >= 0 else limit
            yield base, buffer, start, end
            start = following


def is_row(block: bytes | bytearray, start: int) -> bool:
    return block.startswith(b"<row", start)


def other_tag_problem(block: bytes | bytearray, start: int, end: int) -> str | None:
    """Why a tag that is no row does not belong in a dump, or None for the frame that every dump has."""
    tag = bytes(block[start : min(end, start + 64)]).rstrip()
    if tag.startswith((b"<?xml", b"</row>")) or re.match(rb"</?[a-z]+>$", tag):
        return None
    if tag.startswith(b"<!"):
        return "a document type, entity or comment, which no dump has; it is not read"
    return f"not a row: {tag[:40].decode('utf-8', 'replace')}"


def whole(block: bytes | bytearray, start: int, end: int) -> bool:
    """Whether the row is closed: cut rows end without "/>"."""
    return block.rfind(b">", end - 8 if end - 8 > start else start, end) >= 0


def attributes(row: bytes) -> dict[str, str]:
    """The attributes of one row, decoded. Raises MalformedRow."""
    if len(row) > MAX_ROW_BYTES:
        raise MalformedRow(f"a row of {len(row)} bytes; at most {MAX_ROW_BYTES} are read")
    values: dict[str, str] = {}
    place = 4
    while match := _ATTRIBUTE.match(row, place):
        name = match[1].decode("ascii", "replace")
        if name in values:
            raise MalformedRow(f"attribute {name} stands twice")
        raw = match[2] if match[2] is not None else match[3]
        values[name] = decode(raw)
        place = match.end()
    if not re.match(rb"\s*/?>\s*$", row[place:]):
        raise MalformedRow(f"not well-formed after byte {place} of the row: {row[place : place + 40]!r}")
    return values


def raw_attribute(row: bytes, name: bytes) -> bytes:
    """One attribute as it stands in the row, undecoded; empty if absent."""
    start = row.find(b" " + name + b'="')
    if start < 0:
        value = attributes(row).get(name.decode(), "")  # single quotes or unusual white space
        return value.replace("&", "&amp;").encode()
    start += len(name) + 3
    return row[start : row.find(b'"', start)]


def decode(raw: bytes) -> str:
    """An attribute value: UTF-8 with XML's five entities and character references. Raises MalformedRow."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRow(f"invalid UTF-8 {raw[error.start : error.start + 4]!r}") from None
    if "&" not in text:
        return text
    # The plain replacements cover nearly every value; the pattern is exact for the rest.
    simple = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#xA;", "\n")
    if simple.count("&") == simple.count("&amp;"):
        return simple.replace("&amp;", "&")
    return _ENTITY.sub(_expand, text)


def _expand(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if not match.group().endswith(";"):
        raise MalformedRow(f"an entity that is not XML's own near {match.string[match.start() : match.start() + 12]!r}")
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF:
        return chr(code)
    raise MalformedRow(f"character reference {match.group()} is not a character of XML")


class RowFile:
    """Rows of one decoded dump file read by their offsets, one system call each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._descriptor = self._file.fileno()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def row(self, offset: int, guess: int = 8192) -> bytes:
        """The row at `offset`, without what follows it."""
        data = os.pread(self._descriptor, guess, offset)
        while (end := data.find(b"<", 1)) < 0:
            more = os.pread(self._descriptor, max(guess, len(data)), offset + len(data))
            if not more or len(data) > MAX_ROW_BYTES:
                return data.rstrip()
            data += more
        return data[:end].rstrip()
