"""Counts how many candidates each filter removed, and keeps a few of them to look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from services.shared.errors import DataCorrupt

SAMPLES_PER_STEP = 5
EXCERPT_CHARACTERS = 240
MALFORMED_KEPT = 20


@dataclass(frozen=True, slots=True)
class Removed:
    """One candidate that a filter removed, and why."""

    candidate_id: str
    excerpt: str
    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that could not be read. `offset` is in bytes of the decoded file."""

    file: str
    offset: int
    reason: str


@dataclass(slots=True)
class Step:
    """One filter's line in a funnel."""

    filter: str
    removed: int = 0
    samples: list[Removed] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether it has all the samples that it keeps."""
        return len(self.samples) >= SAMPLES_PER_STEP


class TooManyMalformed(DataCorrupt):
    """More malformed records in one file than the build tolerates."""


@dataclass(slots=True)
class Funnel:
    """What happened to the candidates of one source.

    `steps` are in the order in which they were applied, so what enters a step is what entered the source minus
    what the steps before removed.
    """

    entered: int = 0
    steps: list[Step] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    malformed_count: int = 0

    def enter(self, count: int = 1) -> None:
        self.entered += count

    def step(self, name: str) -> Step:
        for step in self.steps:
            if step.filter == name:
                return step
        self.steps.append(Step(name))
        return self.steps[-1]

    def declare(self, *names: str) -> None:
        """Fix the order of steps, also of those that remove nothing."""
        for name in names:
            self.step(name)

    def remove(self, name: str, candidate_id: str, excerpt: str, reason: str) -> None:
        step = self.step(name)
        step.removed += 1
        if len(step.samples) < SAMPLES_PER_STEP:
            step.samples.append(Removed(candidate_id, excerpt[:EXCERPT_CHARACTERS], reason))

    def remove_unseen(self, name: str, count: int) -> None:
        """Count candidates that were removed before they were decoded: there is no text to show."""
        self.step(name).removed += count

    @property
    def left(self) -> int:
        return self.entered - sum(step.removed for step in self.steps)

    def merge(self, other: Funnel) -> None:
        self.entered += other.entered
        for step in other.steps:
            mine = self.step(step.filter)
            mine.removed += step.removed
            mine.samples.extend(step.samples[: SAMPLES_PER_STEP - len(mine.samples)])
        self.malformed.extend(other.malformed[: MALFORMED_KEPT - len(self.malformed)])
        self.malformed_count += other.malformed_count

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Funnel:
        return cls(
            entered=value["entered"],
            steps=[
                Step(step["filter"], step["removed"], [Removed(**sample) for sample in step["samples"]])
                for step in value["steps"]
            ],
            malformed=[Malformed(**item) for item in value["malformed"]],
            malformed_count=value["malformed_count"],
        )

    def biggest_filter(self) -> Step | None:
        """The filter that removed the most, which is what a person wants to hear when a quota is short."""
        return max((step for step in self.steps if step.removed), key=lambda step: step.removed, default=None)


@dataclass(slots=True)
class MalformedLimit:
    """Records the malformed rows of one file and gives up when there are more than `limit`."""

    funnel: Funnel
    file: str
    limit: int
    count: int = 0

    def add(self, offset: int, reason: str) -> None:
        self.count += 1
        self.funnel.malformed_count += 1
        if len(self.funnel.malformed) < MALFORMED_KEPT:
            self.funnel.malformed.append(Malformed(self.file, offset, reason))
        if self.count > self.limit:
            raise TooManyMalformed(
                f"{self.file}: more than {self.limit} malformed records, the latest at byte {offset}: {reason}",
                remedy="Mend or replace the file, or raise max_malformed if the losses are acceptable.",
            )
