"""The candidates of one source, on disk: only what is needed to choose among them is kept in memory.

A part of a corpus is read once into a folder named by everything that decides its content, so a second build with
another seed or quota reads nothing again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import orjson

from services.curation.candidates import Candidate, candidate_from_json, candidate_to_json
from services.curation.funnel import Funnel
from services.curation.pii import find_pii, mask_pii
from services.curation.sources.source import Part, Reading, Source
from services.shared.digest import digest_bytes, digest_json
from services.shared.records import Split

PII = "personal data"
CANDIDATES, FUNNEL = "candidates.jsonl", "funnel.json"
# Below this much text, starting worker processes costs more than it saves.
PARALLEL_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Key:
    """What choosing needs to know of a candidate, and where its text lies."""

    id: str
    stratum: str
    score: float
    split: Split | None
    part: int
    offset: int


@dataclass(frozen=True, slots=True)
class PartTask:
    """Reading one part of one source: a value that can be sent to any worker."""

    source: Source
    part: Part
    corpus: str
    max_malformed: int
    pii: str

    def digest(self) -> str:
        files = {role: [file.name, file.digest] for role, file in self.part.files.items()}
        return digest_json(
            [code_version(), repr(self.source), self.part.name, files, self.corpus, self.max_malformed, self.pii]
        )


@cache
def code_version() -> str:
    """A digest of the code and data that turn corpora into datasets."""
    folder = Path(__file__).parent
    files = sorted([*folder.glob("*.py"), *folder.glob("sources/*.py"), *folder.glob("sources/*.json")])
    serving = {"__main__.py", "browsing.py", "servicer.py", "translate.py"}
    return digest_json({path.name: digest_bytes(path.read_bytes()) for path in files if path.name not in serving})[:16]


def read_part(task: PartTask, cache_folder: Path) -> Path:
    """The folder with the candidates and the funnel of a part; read now unless it is there already."""
    folder = cache_folder / task.digest()
    if (folder / FUNNEL).is_file():
        os.utime(folder)
        return folder
    cache_folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache_folder))
    try:
        funnel = Funnel()
        with (partial / CANDIDATES).open("wb") as out:
            for candidate in task.source.read(task.part, Reading(task.corpus, funnel, task.max_malformed)):
                screened = _screen(candidate, task.pii, funnel)
                if screened is not None:
                    out.write(orjson.dumps(candidate_to_json(screened)) + b"\n")
        (partial / FUNNEL).write_bytes(orjson.dumps(funnel.to_json()))
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / FUNNEL).is_file():  # else another build was faster with the same content
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _screen(candidate: Candidate, action: str, funnel: Funnel) -> Candidate | None:
    """The candidate without personal data: `action` is "off", "drop" or "mask"."""
    if action == "off":
        return candidate
    funnel.declare(PII)
    found = find_pii(candidate.text())
    if not found:
        return candidate
    if action == "drop":
        funnel.remove(PII, candidate.id, candidate.prompt(), f"holds {', '.join(found)}")
        return None
    turns = tuple(turn.model_copy(update={"content": mask_pii(turn.content)}) for turn in candidate.messages)
    return replace(candidate, messages=turns).with_step(f"masked {', '.join(found)}")


class Workers(Protocol):
    """Where parts are read."""

    def read(self, tasks: Sequence[PartTask], cache_folder: Path, done: Callable[[int], None]) -> list[Path]:
        """One folder for each task, in order. `done` is told how many are finished."""
        ...


@dataclass(frozen=True, slots=True)
class LocalWorkers:
    """Processes of this machine; small corpora are read in the calling thread."""

    count: int = 1

    def read(self, tasks: Sequence[PartTask], cache_folder: Path, done: Callable[[int], None]) -> list[Path]:
        size = sum(map(part_size, tasks))
        if self.count == 1 or len(tasks) < 2 or size < PARALLEL_BYTES:
            folders = []
            for task in tasks:
                folders.append(read_part(task, cache_folder))
                done(len(folders))
            return folders
        # The largest first, so that no worker is left with it at the end.
        order = sorted(range(len(tasks)), key=lambda place: -part_size(tasks[place]))
        with ProcessPoolExecutor(min(self.count, len(tasks)), mp_context=get_context("spawn")) as executor:
            futures = {executor.submit(read_part, tasks[place], cache_folder): place for place in order}
            found: dict[int, Path] = {}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                done(len(found))
        return [found[place] for place in range(len(tasks))]


def part_size(task: PartTask) -> int:
    """Bytes of the files of a part."""
    return sum(file.path.stat().st_size for file in task.part.files.values())


class Pool:
    """All candidates of a source that passed its filters, and the funnel so far."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths = [folder / CANDIDATES for folder in folders]
        self.funnel = Funnel()
        self.keys: dict[str, Key] = {}
        for part, folder in enumerate(folders):
            self.funnel.merge(Funnel.from_json(orjson.loads((folder / FUNNEL).read_bytes())))
            for key in _keys(self._paths[part], part):
                if key.id in self.keys:
                    self.funnel.remove("duplicate id", key.id, "", "the id occurs in an earlier file of the corpus")
                else:
                    self.keys[key.id] = key

    def candidate(self, name: str) -> Candidate:
        key = self.keys[name]
        with self._paths[key.part].open("rb") as file:
            file.seek(key.offset)
            return candidate_from_json(orjson.loads(file.readline()))

    def candidates(self) -> Iterator[Candidate]:
        """All that are still in the pool, in the order of the corpus."""
        for part, path in enumerate(self._paths):
            with path.open("rb") as file:
                for line in file:
                    candidate = candidate_from_json(orjson.loads(line))
                    key = self.keys.get(candidate.id)
                    if key is not None and key.part == part:
                        yield candidate

    def drop(self, step: str, name: str, reason: str) -> None:
        self.funnel.remove(step, name, self.candidate(name).prompt(), reason)
        del self.keys[name]

    def keep_only(self, step: str, wanted: Mapping[str, object], reason: str) -> None:
        """Drop all that are not in `wanted`."""
        self.funnel.declare(step)
        for name in [name for name in self.keys if name not in wanted]:
            self.drop(step, name, reason)


def _keys(path: Path, part: int) -> Iterator[Key]:
    offset = 0
    with path.open("rb") as file:
        for line in file:
            value = orjson.loads(line)
            yield Key(value["id"], value["stratum"], value["score"], value["split"], part, offset)
            offset += len(line)
