"""Long work on corpora and datasets, in plain calls that block: import, resolve, build, fill a queue, export."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.curation.build import (
    Accepted,
    Builder,
    LocalCorpus,
    Report,
    dataset_digest,
    near_duplicates,
    silent,
)
from services.curation.corpora import Corpora
from services.curation.datasets import PREFIX, Datasets, write_dataset
from services.curation.exports import Format, export_dataset
from services.curation.funnel import Funnel
from services.curation.review import Entry, reviews_digest
from services.curation.selection import SPLITS, draw_order
from services.curation.spec import DatasetSpec
from services.curation.vendi import Embedder, find_embedder
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore

# Texts this much less alike than duplicates are shown to reviewers side by side.
NEAR_MARGIN = 0.3


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a build would make, before it is made."""

    spec: DatasetSpec
    digest: str
    corpora: Mapping[str, str]
    reviews: Mapping[str, Mapping[str, Accepted]]


@dataclass(slots=True)
class Workshop:
    store: ObjectStore
    corpora: Corpora
    datasets: Datasets
    builder: Builder
    local: Path
    _embedder: Embedder | None = None
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def resolve(self, spec: DatasetSpec, reviews: Mapping[str, Mapping[str, Accepted]]) -> Resolved:
        """The digest of a build. Raises NotFound for a corpus that was not imported."""
        digests = {name: self.corpora.find(name).digest for name in spec.corpora()}
        decided = reviews_digest(reviews) if spec.review.required else ""
        return Resolved(spec, dataset_digest(spec, digests, decided), digests, reviews)

    def build(self, resolved: Resolved, report: Report = silent) -> dict[str, Any]:
        """The manifest of the dataset, built now unless it is there. Two builds of the same set make it once."""
        with self._lock(resolved.digest):
            manifest = self.datasets.manifest(resolved.spec.name, resolved.digest)
            if manifest is not None:
                return manifest
            spec = resolved.spec
            built = self.builder.build(spec, self._fetch(resolved.corpora, report), resolved.reviews, report)
            report("statistics", 0, 1, "datasets", {})
            with self._temporary() as folder:
                described = write_dataset(
                    Path(folder),
                    spec,
                    resolved.digest,
                    resolved.corpora,
                    _told(resolved.reviews),
                    built,
                    self.embedder(),
                )
                report("storing", 0, 1, "datasets", {})
                self.store.put_folder(f"{PREFIX}/{spec.name}/{resolved.digest}", folder, described)
            return self.datasets.find(f"{PREFIX}/{spec.name}/{resolved.digest}")

    def queue_entries(self, spec: DatasetSpec, report: Report = silent) -> tuple[list[Entry], dict[str, Funnel]]:
        """The best candidates of each source for people to review, interleaved in the order of their draws."""
        digests = {name: self.corpora.find(name).digest for name in spec.corpora()}
        sources = self.builder.gather(spec, self._fetch(digests, report), report)
        chosen: list[tuple[int, int, str, str]] = []
        for place, source in enumerate(sources):
            order = draw_order(source.name, list(source.pool.keys.values()), source.draw, spec.seed)
            wanted = order[: source.quota.total * spec.review.pool]
            chosen.extend((turn, place, source.name, name) for turn, name in enumerate(wanted))
        pools = {source.name: source.pool for source in sources}
        picked = [(source, pools[source].candidate(name)) for _, _, source, name in sorted(chosen)]
        margin = max(0.3, spec.dedup.threshold - NEAR_MARGIN)
        looser = spec.model_copy(update={"dedup": spec.dedup.model_copy(update={"threshold": margin})})
        near = near_duplicates([(f"{source}.{candidate.id}", candidate.text()) for source, candidate in picked], looser)
        entries = [
            Entry(source, rank, candidate, tuple(near.get(f"{source}.{candidate.id}", ())))
            for rank, (source, candidate) in enumerate(picked)
        ]
        return entries, {source.name: source.pool.funnel for source in sources}

    def export(self, manifest: Mapping[str, Any], form: Format, destination: str) -> tuple[str, int]:
        """(uri, number of files) of an export below a prefix of the store."""
        prefix = self.store.key(destination).rstrip("/")
        if not prefix or prefix.split("/")[0] in ("corpora", "datasets", "models", "runs", "responses", "studies"):
            raise InvalidInput(
                "destination_uri", destination, "must be a prefix of its own, as s3://bucket/exports/NAME"
            )
        readme = self.store.get_bytes(f"{self.datasets.key(manifest)}/README.md").decode()
        with self._temporary() as folder:
            examples = {split: self.datasets.examples(manifest, split) for split in SPLITS}
            files = export_dataset(examples, readme, form, Path(folder))
            about = {"kind": "export", "dataset": manifest["name"], "digest": manifest["digest"], "format": form}
            self.store.put_folder(prefix, folder, about)
        return self.store.uri(prefix), len(files)

    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = find_embedder()
        return self._embedder

    def _fetch(self, digests: Mapping[str, str], report: Report) -> dict[str, LocalCorpus]:
        fetched = {}
        for place, (name, digest) in enumerate(digests.items()):
            report("fetching corpora", place, len(digests), "corpora", {})
            fetched[name] = self.corpora.fetch(name, digest)
        return fetched

    def _temporary(self) -> AbstractContextManager[str]:
        self.local.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".dataset-", dir=self.local)

    def _lock(self, digest: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(digest, threading.Lock())


def _told(reviews: Mapping[str, Mapping[str, Accepted]]) -> dict[str, Any]:
    """Review decisions as a manifest holds them."""
    return {source: {name: one.note for name, one in accepted.items()} for source, accepted in reviews.items()}
