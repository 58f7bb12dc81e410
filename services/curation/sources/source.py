"""The one contract of all sources.

A source splits a corpus into parts (a site, a file) that can be read anywhere in any order, and reads one part into a
stream of candidates. What it cannot read it counts and locates; what its filters remove it shows in the funnel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from services.curation.candidates import Candidate
from services.curation.funnel import Funnel


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file of a corpus, on the local disk and decoded. `name` is its path in the corpus."""

    name: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker reads at a time: `files` by role ("posts", "comments", ...)."""

    name: str
    files: Mapping[str, CorpusFile]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a part is read into: which corpus it is of, the funnel to count in, and how much may be malformed."""

    corpus: str
    funnel: Funnel
    max_malformed: int = 100


@dataclass(frozen=True, slots=True)
class Draw:
    """How a source's candidates are drawn.

    `strata`: "temperature" draws a stratum in proportion to n^(1/temperature), "uniform" draws each alike, "none"
    ignores strata. `within` a stratum: by "score", highest first, or "random".
    """

    strata: Literal["temperature", "uniform", "none"] = "none"
    within: Literal["score", "random"] = "random"
    temperature: float = 1.0
    per_stratum: int | None = None


class Source(Protocol):
    """Instances are values: two that compare equal read the same candidates from the same part."""

    @property
    def draw(self) -> Draw: ...

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        """The units of work in a corpus. Files that are not this source's are left out."""
        ...

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        """The candidates of a part that pass the source's own filters."""
        ...
