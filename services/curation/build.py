"""The whole way from corpora on the local disk to a dataset folder.

    read ─► near-duplicates ─► benchmark prompts ─► reviews ─► selection ─► statistics ─► files

Given the same spec, corpora and reviews, the files are the same bytes, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from services.curation.candidates import Candidate
from services.curation.decontamination import PromptIndex
from services.curation.funnel import Funnel
from services.curation.neardup import duplicates, neighbours, signatures
from services.curation.pool import LocalWorkers, PartTask, Pool, Workers, code_version, read_part
from services.curation.selection import BENCHMARK, SPLITS, Wanted, draw_order, select
from services.curation.sources.existing import Existing
from services.curation.sources.source import CorpusFile
from services.curation.spec import DatasetSpec, SourceSpec
from services.shared.digest import digest_json
from services.shared.records import Example, Split, Turn

DUPLICATE, REVIEW = "near-duplicate", "accepted by reviewers"


@dataclass(frozen=True, slots=True)
class LocalCorpus:
    """A corpus whose files are on the local disk, decoded."""

    name: str
    digest: str
    files: tuple[CorpusFile, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A candidate that people accepted; `messages` are theirs if they edited it."""

    messages: tuple[Turn, ...] | None = None
    note: str = ""


# By source, then by candidate id.
Reviews = Mapping[str, Mapping[str, Accepted]]


class Report(Protocol):
    """Told how far a build is."""

    def __call__(self, stage: str, done: int, total: int, unit: str, counts: Mapping[str, int]) -> None: ...


def silent(stage: str, done: int, total: int, unit: str, counts: Mapping[str, int]) -> None:
    """A Report that nobody hears."""


@dataclass(frozen=True, slots=True)
class Built:
    """A dataset in memory: examples by split, and the funnel of each source."""

    examples: Mapping[Split, Sequence[Example]]
    funnels: Mapping[str, Funnel]


def dataset_digest(spec: DatasetSpec, corpora: Mapping[str, str], reviews_digest: str) -> str:
    """The name of what a build makes: its resolved spec, corpora by digest, code and review decisions."""
    return digest_json(
        {
            "spec": spec.model_dump(mode="json", exclude={"name"}),
            "corpora": {name: corpora[name] for name in spec.corpora()},
            "code": code_version(),
            "reviews": reviews_digest,
        }
    )


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds datasets. `cache_folder` keeps parts that were read; it may be emptied at any time."""

    cache_folder: Path
    workers: Workers = field(default_factory=LocalWorkers)

    def gather(self, spec: DatasetSpec, corpora: Mapping[str, LocalCorpus], report: Report = silent) -> list[Wanted]:
        """Every source's candidates, less near-duplicates; candidates like a benchmark's prompts are barred."""
        sources = [self._read(source, spec, corpora[source.corpus], report) for source in spec.sources]
        if spec.dedup.enabled:
            _drop_duplicates(sources, spec, report)
        if spec.decontamination.enabled and spec.decontamination.benchmark_corpora:
            self._bar_benchmarks(sources, spec, corpora, report)
        return sources

    def build(
        self,
        spec: DatasetSpec,
        corpora: Mapping[str, LocalCorpus],
        reviews: Reviews | None = None,
        report: Report = silent,
    ) -> Built:
        """Raises QuotaNotFilled, TooManyMalformed."""
        sources = self.gather(spec, corpora, report)
        if spec.review.required:
            for source in sources:
                source.pool.keep_only(REVIEW, (reviews or {}).get(source.name, {}), "not accepted, or not yet seen")
        report("choosing", 0, len(sources), "sources", _left(sources))
        select(sources, spec.seed, spec.decontamination.enabled)
        examples: dict[Split, list[Example]] = {split: [] for split in SPLITS}
        digests = {name: corpus.digest for name, corpus in corpora.items()}
        for source in sources:
            accepted = (reviews or {}).get(source.name, {}) if spec.review.required else {}
            for split in SPLITS:
                for name in source.chosen[split]:
                    candidate = _as_reviewed(source.pool.candidate(name), accepted.get(name))
                    examples[split].append(to_example(candidate, source.name, split, digests))
        return Built(examples, {source.name: source.pool.funnel for source in sources})

    def _read(self, source: SourceSpec, spec: DatasetSpec, corpus: LocalCorpus, report: Report) -> Wanted:
        made = source.source(spec.seed)
        pii = spec.pii.action if spec.pii.enabled else "off"
        tasks = [PartTask(made, part, corpus.name, spec.max_malformed, pii) for part in made.parts(corpus.files)]
        stage = f"reading {source.name}"
        report(stage, 0, len(tasks), "parts", {})
        folders = self.workers.read(tasks, self.cache_folder, lambda done: report(stage, done, len(tasks), "parts", {}))
        pool = Pool(folders)
        report(stage, len(tasks), len(tasks), "parts", {f"candidates/{source.name}": len(pool.keys)})
        return Wanted(source.name, pool, made.draw, source.quota)

    def _bar_benchmarks(
        self, sources: Sequence[Wanted], spec: DatasetSpec, corpora: Mapping[str, LocalCorpus], report: Report
    ) -> None:
        index = PromptIndex()
        for name in spec.decontamination.benchmark_corpora:
            for prompt in self._benchmark_prompts(corpora[name], spec.max_malformed):
                index.add(prompt)
        for source in sources:
            report("benchmark prompts", 0, len(source.pool.keys), "candidates", {})
            barred = {candidate.id for candidate in source.pool.candidates() if index.contaminates(candidate.prompt())}
            source.barred = frozenset(barred)
            source.pool.funnel.declare(BENCHMARK)
            if not source.quota.dev + source.quota.test:
                for name in sorted(barred):
                    source.pool.drop(BENCHMARK, name, "its prompt is in a benchmark")

    def _benchmark_prompts(self, corpus: LocalCorpus, max_malformed: int) -> Sequence[str]:
        source = Existing(unanswered=True)
        tasks = [PartTask(source, part, corpus.name, max_malformed, "off") for part in source.parts(corpus.files)]
        return [
            candidate.prompt()
            for candidate in Pool([read_part(task, self.cache_folder) for task in tasks]).candidates()
        ]


def _drop_duplicates(sources: Sequence[Wanted], spec: DatasetSpec, report: Report) -> None:
    """Of near-duplicates the first stays: sources in the order of the spec, candidates in the order of their draw."""
    names: list[tuple[Wanted, str]] = []
    for source in sources:
        source.pool.funnel.declare(DUPLICATE)
        order = draw_order(
            source.name, list(source.pool.keys.values()), replace(source.draw, per_stratum=None), spec.seed
        )
        names.extend((source, name) for name in order)
    report("near-duplicates", 0, len(names), "candidates", _left(sources))
    matrix = signatures((source.pool.candidate(name).text() for source, name in names), spec.dedup.permutations)
    for found in duplicates(matrix, spec.dedup.threshold):
        source, name = names[found.row]
        kept_source, kept = names[found.of]
        source.pool.drop(DUPLICATE, name, f"like {kept_source.name}/{kept}, which stays")
    report("near-duplicates", len(names), len(names), "candidates", _left(sources))


def near_duplicates(candidates: Sequence[tuple[str, str]], spec: DatasetSpec) -> dict[str, list[str]]:
    """For (name, text) pairs the names that are like each, to show reviewers what they may be judging twice."""
    matrix = signatures((text for _, text in candidates), spec.dedup.permutations)
    return neighbours(matrix, spec.dedup.threshold, [name for name, _ in candidates])


def _left(sources: Sequence[Wanted]) -> dict[str, int]:
    return {f"candidates/{source.name}": len(source.pool.keys) for source in sources}


def _as_reviewed(candidate: Candidate, accepted: Accepted | None) -> Candidate:
    if accepted is None:
        return candidate
    edited = replace(candidate, messages=accepted.messages) if accepted.messages else candidate
    return edited.with_step(accepted.note)


def to_example(candidate: Candidate, source: str, split: Split, corpora: Mapping[str, str]) -> Example:
    origin = candidate.origin
    provenance: dict[str, Any] = {
        "corpus": origin.corpus,
        "corpus_digest": corpora[origin.corpus],
        "file": origin.file,
        "offset": origin.offset,
        "row_id": origin.row_id,
        "stratum": candidate.stratum,
        "score": candidate.score,
        "steps": list(candidate.steps),
    }
    return Example(
        id=f"{source}.{candidate.id}",
        source=source,
        split=split,
        messages=candidate.messages,
        attribution=candidate.attribution,
        tags=candidate.tags,
        provenance=provenance,
    )
