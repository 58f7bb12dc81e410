"""Super-Natural Instructions tasks: one random example of each generation task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from services.curation.candidates import Candidate, Origin
from services.curation.draws import uniform
from services.curation.funnel import MalformedLimit
from services.curation.sources.records import parse_object, text_field
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.records import Attribution, Turn

CATEGORY, LANGUAGE, INSTANCES = "generation category", "English", "usable instance"
# Tasks whose output is text rather than a label (Wang et al. 2022, appendix).
GENERATION_CATEGORIES = (
    "Code to Text",
    "Data to Text",
    "Dialogue Generation",
    "Explanation",
    "Grammar Error Correction",
    "Keyword Tagging",
    "Overlap Extraction",
    "Paraphrasing",
    "Poem Generation",
    "Question Generation",
    "Question Rewriting",
    "Sentence Composition",
    "Sentence Compression",
    "Sentence Expansion",
    "Story Composition",
    "Style Transfer",
    "Summarization",
    "Text Completion",
    "Text Simplification",
    "Title Generation",
    "Text to Code",
    "Wrong Candidate Generation",
)
MAX_TASK_BYTES = 256 << 20
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class NaturalInstructions:
    categories: tuple[str, ...] = GENERATION_CATEGORIES
    seed: int = 0

    @property
    def draw(self) -> Draw:
        return Draw("uniform", "random", per_stratum=1)

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        """One part per task file."""
        tasks = [file for file in files if file.name.endswith(".json")]
        return [
            Part(PurePosixPath(file.name).stem, {"task": file}) for file in sorted(tasks, key=lambda file: file.name)
        ]

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reading.funnel.declare(CATEGORY, LANGUAGE, INSTANCES)
        file = part.files["task"]
        malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
        if file.path.stat().st_size > MAX_TASK_BYTES:
            malformed.add(0, f"a task of more than {MAX_TASK_BYTES} bytes")
            return
        task = parse_object(file.path.read_bytes().removeprefix(b"\xef\xbb\xbf"), 0, malformed)
        if task is None:
            return
        definition = _definition(task)
        if not definition:
            malformed.add(0, "a task without a Definition")
            return
        reading.funnel.enter()
        excerpt = f"{part.name}: {definition}"
        if not self._generates(task):
            reading.funnel.remove(CATEGORY, part.name, excerpt, f"categories are {_names(task, 'Categories')}")
        elif any(
            language != "English" for key in ("Input_language", "Output_language") for language in _names(task, key)
        ):
            reading.funnel.remove(LANGUAGE, part.name, excerpt, "not in English throughout")
        elif (candidate := self._pick(part.name, task, definition, file.name, reading.corpus)) is None:
            reading.funnel.remove(INSTANCES, part.name, excerpt, "no instance with an input and an output")
        else:
            yield candidate

    def _generates(self, task: dict[str, Any]) -> bool:
        """A category matches by its own name or by that after "->" ("Text Modification -> Paraphrasing")."""
        wanted = {category.lower() for category in self.categories}
        return any(
            part.strip().lower() in wanted for name in _names(task, "Categories") for part in [name, *name.split("->")]
        )

    def _pick(self, name: str, task: dict[str, Any], definition: str, file: str, corpus: str) -> Candidate | None:
        """One random usable instance."""
        usable: list[tuple[float, int, str, str, str]] = []
        instances = task.get("Instances")
        for place, instance in enumerate(instances if isinstance(instances, list) else []):
            if not isinstance(instance, dict):
                continue
            source, outputs = text_field(instance, "input"), instance.get("output")
            output = next(
                (text for text in (outputs if isinstance(outputs, list) else [outputs]) if isinstance(text, str)), ""
            )
            row = text_field(instance, "id") or str(place)
            if source and output.strip():
                usable.append((uniform(self.seed, "instance", name, row), place, row, source, output.strip()))
        if not usable:
            return None
        _, place, row, source, output = min(usable)
        return Candidate(
            id=name,
            stratum=name,
            score=0.0,
            messages=(Turn(role="user", content=f"{definition}\n\n{source}"), Turn(role="assistant", content=output)),
            origin=Origin(corpus, file, place, row),
            attribution=Attribution(
                url=next(iter(_names(task, "URL")), "https://github.com/allenai/natural-instructions"),
                author=", ".join(_names(task, "Contributors")) or "Super-Natural Instructions contributors",
                licence=LICENCE,
                title=name,
            ),
            steps=(f"instance {place} of {len(usable)} usable ones, drawn at random",),
        )


def _names(task: dict[str, Any], key: str) -> list[str]:
    """A field that is a list of strings in some versions of the schema and a string in others."""
    value = task.get(key)
    values = value if isinstance(value, list) else [value]
    return [item.strip() for item in values if isinstance(item, str) and item.strip()]


def _definition(task: dict[str, Any]) -> str:
    return "\n".join(_names(task, "Definition"))
