"""Small dumps and records in their true formats, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson

from services.curation.candidates import Candidate
from services.curation.funnel import Funnel
from services.curation.sources.source import CorpusFile, Reading, Source
from services.shared.digest import digest_file

HOST = "physics.stackexchange.com"
SENTENCE = "The field falls off with the square of the distance from the charge. "
LONG = SENTENCE * 20


def question(row_id: int, title: str = "How does a charge act at a distance?", **values: Any) -> dict[str, Any]:
    return {
        "Id": row_id,
        "PostTypeId": 1,
        "CreationDate": "2014-05-01T10:00:00.000",
        "Score": 3,
        "Body": "<p>Please explain the law.</p>",
        "OwnerUserId": 7,
        "Title": title,
    } | values


def answer(row_id: int, parent: int, score: int = 12, body: str = f"<p>{LONG}</p>", **values: Any) -> dict[str, Any]:
    return {
        "Id": row_id,
        "PostTypeId": 2,
        "ParentId": parent,
        "CreationDate": "2014-05-02T10:00:00.000",
        "Score": score,
        "Body": body,
        "OwnerUserId": 8,
    } | values


def row_xml(values: Mapping[str, Any]) -> str:
    """A row as dumps write it: double quotes, line ends as references."""
    attributes = []
    for name, value in values.items():
        quoted = quoteattr(str(value), {"\n": "&#xA;", "\r": "&#xD;", "\t": "&#x9;", '"': "&quot;"})
        attributes.append(f"{name}={quoted}")
    return f"  <row {' '.join(attributes)} />"


def dump(rows: Iterable[Mapping[str, Any] | str], root: str = "posts") -> bytes:
    lines = [row if isinstance(row, str) else row_xml(row) for row in rows]
    return "\n".join(['\ufeff<?xml version="1.0" encoding="utf-8"?>', f"<{root}>", *lines, f"</{root}>", ""]).encode()


def corpus_file(folder: Path, name: str, data: bytes) -> CorpusFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return CorpusFile(name, path, digest_file(path))


def json_lines(records: Iterable[Mapping[str, Any] | bytes]) -> bytes:
    return b"".join((r if isinstance(r, bytes) else orjson.dumps(r)) + b"\n" for r in records)


def read(source: Source, *files: CorpusFile, max_malformed: int = 100) -> tuple[list[Candidate], Funnel]:
    """All candidates of the files, and the funnel."""
    funnel = Funnel()
    reading = Reading("corpus", funnel, max_malformed)
    return [candidate for part in source.parts(files) for candidate in source.read(part, reading)], funnel


def removed(funnel: Funnel) -> dict[str, int]:
    return {step.filter: step.removed for step in funnel.steps if step.removed}
