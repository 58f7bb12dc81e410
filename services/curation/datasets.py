"""Datasets in the store: written whole or not at all, found by name and digest.

datasets/<name>/<digest>/{train,dev,test}.jsonl funnel.json statistics.json README.md figures/ manifest.json
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.curation.build import Built
from services.curation.card import dataset_card
from services.curation.funnel import Funnel
from services.curation.plots import bar_chart, bin_labels
from services.curation.pool import code_version
from services.curation.selection import SPLITS
from services.curation.spec import DatasetSpec
from services.curation.statistics import describe
from services.curation.vendi import Embedder
from services.shared.errors import DataCorrupt, InvalidInput, NotFound
from services.shared.objects import ObjectStore
from services.shared.records import Example

PREFIX = "datasets"
NAME = re.compile(r"datasets/(?P<name>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/(?P<digest>[0-9a-f]{4,64}|latest)")
WHOLE_DIGEST = 64


def write_dataset(
    folder: Path,
    spec: DatasetSpec,
    digest: str,
    corpora: Mapping[str, str],
    reviews: Mapping[str, Any],
    built: Built,
    embedder: Embedder,
) -> dict[str, Any]:
    """Write the files of a dataset into an empty folder; return its manifest, less the list of files."""
    statistics = describe(built.examples, embedder)
    for split in SPLITS:
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as out:
            for example in built.examples[split]:
                out.write(example.model_dump_json() + "\n")
    resolved = spec.model_dump(mode="json", exclude_none=True)
    funnels = {source: funnel.to_json() for source, funnel in built.funnels.items()}
    (folder / "funnel.json").write_text(_pretty(funnels), encoding="utf-8")
    (folder / "statistics.json").write_text(_pretty(statistics.to_json()), encoding="utf-8")
    (folder / "README.md").write_text(
        dataset_card(spec.name, digest, resolved, statistics, built.funnels), encoding="utf-8"
    )
    figures = folder / "figures"
    figures.mkdir()
    charts = {
        "sources": bar_chart("Examples by source and split", statistics.source_counts, ""),
        "prompt-lengths": bar_chart("Tokens in a prompt", bin_labels(statistics.prompt_lengths), "examples"),
        "response-lengths": bar_chart("Tokens in the responses", bin_labels(statistics.response_lengths), "examples"),
        "diversity": bar_chart("Effectively different prompts by source", statistics.source_diversity, ""),
    }
    for name, chart in charts.items():
        (figures / f"{name}.svg").write_text(chart, encoding="utf-8")
    return {
        "kind": "dataset",
        "name": spec.name,
        "digest": digest,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "spec": resolved,
        "corpora": dict(corpora),
        "code_version": code_version(),
        "reviews": dict(reviews),
        "split_counts": dict(statistics.split_counts),
        "source_counts": dict(statistics.source_counts),
        "statistics": list(statistics.to_json()["rows"]),
        "diversity": statistics.diversity,
        "diversity_metric": statistics.diversity_metric,
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@dataclass(slots=True)
class Datasets:
    """The catalogue. Manifests never change, so those that were read are kept."""

    store: ObjectStore
    _manifests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def manifest(self, name: str, digest: str) -> dict[str, Any] | None:
        prefix = f"{PREFIX}/{name}/{digest}"
        if prefix not in self._manifests:
            found = self.store.get_manifest(prefix)
            if found is None:
                return None
            self._manifests[prefix] = found
        return self._manifests[prefix]

    def find(self, resource: str) -> dict[str, Any]:
        """The manifest of "datasets/<name>/<digest, a prefix of it, or latest>". Raises NotFound, InvalidInput."""
        match = NAME.fullmatch(resource)
        if not match:
            raise InvalidInput(
                "name", resource, 'must be "datasets/<name>/<digest>", "latest" or at least 4 digits for the digest'
            )
        # A whole digest names one folder: no need to list the others.
        if len(match["digest"]) == WHOLE_DIGEST and (whole := self.manifest(match["name"], match["digest"])):
            return whole
        versions = list(self.versions(match["name"]))
        if match["digest"] == "latest":
            if not versions:
                raise NotFound("dataset", resource, remedy="Build it: lima curate SPEC")
            return max(versions, key=lambda manifest: (manifest["created"], manifest["digest"]))
        found = [manifest for manifest in versions if manifest["digest"].startswith(match["digest"])]
        if len(found) > 1:
            raise InvalidInput("name", resource, f"fits {len(found)} versions; write more of the digest")
        if not found:
            raise NotFound("dataset", resource, remedy="See lima datasets list.")
        return found[0]

    def versions(self, name: str) -> Iterator[dict[str, Any]]:
        for digest in sorted(self.store.list_folders(f"{PREFIX}/{name}")):
            manifest = self.manifest(name, digest)
            if manifest is not None:
                yield manifest

    def all_names(self) -> list[tuple[str, str]]:
        """(name, digest) of every finished or unfinished folder, in order."""
        names = sorted(self.store.list_folders(PREFIX))
        return [(name, digest) for name in names for digest in sorted(self.store.list_folders(f"{PREFIX}/{name}"))]

    def uri(self, manifest: Mapping[str, Any]) -> str:
        return self.store.uri(self.key(manifest))

    def key(self, manifest: Mapping[str, Any]) -> str:
        return f"{PREFIX}/{manifest['name']}/{manifest['digest']}"

    def examples(self, manifest: Mapping[str, Any], split: str = "") -> Iterator[Example]:
        """Every example of a split, or of all, in the order of the files."""
        if split and split not in SPLITS:
            raise InvalidInput("split", split, f"must be one of {', '.join(SPLITS)}, or empty for all")
        for part in (split,) if split else SPLITS:
            uri = f"{self.key(manifest)}/{part}.jsonl"
            with self.store.open(uri) as lines:
                for line in lines:
                    try:
                        yield Example.model_validate_json(line)
                    except ValueError as error:
                        raise DataCorrupt(
                            f"{uri} holds a line that is no example: {error}", remedy="Build the set again."
                        ) from None

    def funnels(self, manifest: Mapping[str, Any]) -> dict[str, Funnel]:
        """By source, in the order of the spec."""
        told = json.loads(self.store.get_bytes(f"{self.key(manifest)}/funnel.json", 1 << 30))
        return {source["name"]: Funnel.from_json(told[source["name"]]) for source in manifest["spec"]["sources"]}
