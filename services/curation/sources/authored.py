"""Examples that people wrote for the purpose: JSON lines from an editor or from the authoring page.

A line holds `prompt` and, for training, `response` (or `messages`), and may say `id`, `group` ("A" or "B"), `split`,
`tags`, `author`, `licence`, `url`. Group A is for training and development, group B for testing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from services.curation.candidates import Candidate, Origin
from services.curation.funnel import MalformedLimit
from services.curation.sources.conversations import NotAConversation, turns_of
from services.curation.sources.records import records_of, text_field
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.digest import digest_json
from services.shared.records import Attribution, Split, Turn

GROUP, TAG = "group", "tag"
SPLITS: dict[str, Split] = {"train": "train", "dev": "dev", "test": "test"}
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Authored:
    group: Literal["A", "B", ""] = ""
    tags: tuple[str, ...] = ()

    @property
    def draw(self) -> Draw:
        return Draw("none", "random")

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        return record_parts(files)

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reading.funnel.declare(GROUP, TAG)
        for candidate, record in written_candidates(part, reading):
            group, tags = text_field(record, "group"), set(candidate.tags)
            if self.group and group and group != self.group:
                reading.funnel.remove(GROUP, candidate.id, candidate.prompt(), f"of group {group}")
            elif self.tags and not tags & set(self.tags):
                reading.funnel.remove(TAG, candidate.id, candidate.prompt(), f"tags are {sorted(tags)}")
            else:
                yield candidate


def record_parts(files: Sequence[CorpusFile]) -> list[Part]:
    """One part per file of records."""
    known = (".jsonl", ".json", ".ndjson", ".parquet", ".csv")
    named = sorted((file for file in files if file.name.lower().endswith(known)), key=lambda file: file.name)
    return [Part(file.name, {"records": file}) for file in named]


def written_candidates(part: Part, reading: Reading) -> Iterator[tuple[Candidate, dict[str, Any]]]:
    """Every sound record of a file of written examples, with the record it came from."""
    file = part.files["records"]
    malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
    seen: set[str] = set()
    for offset, record in records_of(file.path, file.name, malformed):
        try:
            turns = turns_of(record)
            split = _split(record)
        except NotAConversation as error:
            malformed.add(offset, str(error))
            continue
        stem = _SAFE.sub("-", PurePosixPath(file.name).stem)
        name = (
            _SAFE.sub("-", text_field(record, "id"))[:80]
            or f"{stem}-{digest_json([list(t) for t in _pairs(turns)])[:12]}"
        )
        if name in seen:
            malformed.add(offset, f"a second record with the id {name}")
            continue
        seen.add(name)
        reading.funnel.enter()
        yield _candidate(name, stem, turns, split, record, Origin(reading.corpus, file.name, offset, name)), record


def _candidate(
    name: str, stratum: str, turns: tuple[Turn, ...], split: Split | None, record: dict[str, Any], origin: Origin
) -> Candidate:
    raw_tags = record.get("tags")
    tags = (
        tuple(sorted({tag.strip() for tag in raw_tags if isinstance(tag, str)})) if isinstance(raw_tags, list) else ()
    )
    group = text_field(record, "group")
    return Candidate(
        id=name,
        stratum=group or stratum,
        score=0.0,
        messages=turns,
        origin=origin,
        attribution=Attribution(
            url=text_field(record, "url"),
            author=text_field(record, "author"),
            licence=text_field(record, "licence") or text_field(record, "license"),
        ),
        tags=tags,
        steps=(f"written by group {group}",) if group else ("written",),
        split=split or ("test" if group == "B" else None),
    )


def _pairs(turns: tuple[Turn, ...]) -> Iterator[tuple[str, str]]:
    return ((turn.role, turn.content) for turn in turns)


def _split(record: dict[str, Any]) -> Split | None:
    stated = text_field(record, "split")
    if not stated:
        return None
    if stated not in SPLITS:
        raise NotAConversation(f"split is {stated[:40]!r}, not train, dev or test")
    return SPLITS[stated]
