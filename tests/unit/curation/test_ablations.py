"""The paper's ablation sets: each config says what the paper did, and builds at a small scale."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.curation.build import Builder
from services.curation.spec import parse_spec
from tests.unit.curation.test_build import SAMPLES, local

ABLATIONS = Path(__file__).parents[3] / "experiments" / "ablations"
# The smallest and the largest of the sets, 2,000 and 32,000, become 1 and 26 of the 29 that the samples hold.
SCALE = 1200
SETS = {
    "quality": {"filtered-2000": 2000, "unfiltered-2000": 2000},
    "diversity": {"stackexchange-2000": 2000, "wikihow-2000": 2000},
    "quantity": {f"stackexchange-{count}": count for count in (2000, 4000, 8000, 16000, 32000)},
}


def datasets_of(name: str) -> dict[str, dict[str, Any]]:
    document: dict[str, Any] = yaml.safe_load((ABLATIONS / f"{name}.yaml").read_text())
    return {dataset: {"name": dataset} | value for dataset, value in document["datasets"].items()}


@pytest.mark.parametrize("name", SETS)
def test_the_sets_of_an_ablation(tmp_path: Path, name: str) -> None:
    datasets = datasets_of(name)
    assert {made: value["sources"][0]["quota"]["train"] for made, value in datasets.items()} == SETS[name]
    corpora = {corpus: local(corpus, SAMPLES / corpus) for corpus in ("stackexchange", "wikihow")}
    built: list[set[str]] = []
    for value in datasets.values():
        source = value["sources"][0]
        source["quota"]["train"] //= SCALE
        examples = Builder(tmp_path).build(parse_spec(value), {source["corpus"]: corpora[source["corpus"]]}).examples
        assert len(examples["train"]) == source["quota"]["train"]
        built.append({example.id for example in examples["train"]})
    if name == "quantity":
        assert all(smaller < larger for smaller, larger in pairwise(built))
    filtered = [value["sources"][0].get("stack_exchange", {}).get("filtered") for value in datasets.values()]
    assert filtered == {"quality": [True, False], "diversity": [True, None], "quantity": [True] * 5}[name]
