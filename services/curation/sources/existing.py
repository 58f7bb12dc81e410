"""Instruction sets that exist already, so that the original LIMA or Alpaca 52k can be a baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from services.curation.candidates import Candidate, Origin
from services.curation.funnel import MalformedLimit
from services.curation.sources.authored import SPLITS, record_parts
from services.curation.sources.conversations import Format, NotAConversation, format_of, turns_of
from services.curation.sources.records import records_of, text_field
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.records import Attribution

UNANSWERED = "answered"
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Existing:
    """`format` empty: taken from the first record that has one. `unanswered`: take prompts without a reply too."""

    format: Literal["messages", "lima", "sharegpt", "alpaca", "prompt", "question", ""] = ""
    unanswered: bool = False

    @property
    def draw(self) -> Draw:
        return Draw("none", "random")

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        return record_parts(files)

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reading.funnel.declare(UNANSWERED)
        file = part.files["records"]
        malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
        stem = _SAFE.sub("-", PurePosixPath(file.name).stem)
        form: Format | None = self.format or None
        split = next((SPLITS[word] for word in re.split(r"[^a-z]+", stem.lower()) if word in SPLITS), None)
        for place, (offset, record) in enumerate(records_of(file.path, file.name, malformed)):
            try:
                form = form or format_of(record)
                turns = turns_of(record, form)
            except NotAConversation as error:
                malformed.add(offset, str(error))
                continue
            reading.funnel.enter()
            name = f"{stem}-{place}"
            if turns[-1].role != "assistant" and split != "test" and not self.unanswered:
                reading.funnel.remove(UNANSWERED, name, turns[0].content, "ends with the user's turn")
                continue
            yield Candidate(
                id=name,
                stratum=text_field(record, "source") or stem,
                score=0.0,
                messages=turns,
                origin=Origin(reading.corpus, file.name, offset, str(place)),
                attribution=Attribution(url=text_field(record, "url"), licence=text_field(record, "licence")),
                steps=(f"read as {form}",),
                split=split,
            )
