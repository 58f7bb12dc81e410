"""Exports are what other tools load: the `datasets` library, Parquet readers, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from services.curation.build import Builder, Built
from services.curation.datasets import write_dataset
from services.curation.exports import export_dataset
from services.curation.vendi import HashedWords
from tests.unit.curation.test_build import SAMPLE_SPEC, SAMPLES, local

COUNTS = {"train": 17, "dev": 4, "test": 5}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    corpora = {name: local(name, SAMPLES / name) for name in ("stackexchange", "authored")}
    return Builder(tmp_path_factory.mktemp("cache")).build(SAMPLE_SPEC, corpora)


@pytest.fixture
def card(built: Built, tmp_path: Path) -> str:
    folder = tmp_path / "written"
    folder.mkdir()
    write_dataset(folder, SAMPLE_SPEC, "a" * 64, {}, {}, built, HashedWords())
    return (folder / "README.md").read_text()


def test_the_datasets_library_loads_the_folder(
    built: Built, card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    files = export_dataset(built.examples, card, "hf_datasets", tmp_path / "hub")
    assert [path.name for path in files][-1] == "README.md"
    loaded = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 17, "validation": 4, "test": 5}
    row, example = loaded["train"][0], built.examples["train"][0]
    assert row["id"] == example.id
    assert row["messages"] == [{"role": turn.role, "content": turn.content} for turn in example.messages]
    assert row["attribution"]["licence"] == example.attribution.licence
    assert json.loads(row["provenance"]) == example.provenance


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_files_hold_every_example_and_empty_splits_none(built: Built, card: str, tmp_path: Path, form: str) -> None:
    folder = tmp_path / form
    files = export_dataset(built.examples, card, form, folder)  # type: ignore[arg-type]
    assert [path.name for path in files] == [f"{split}.{form}" for split in COUNTS]
    for split, count in COUNTS.items():
        path = folder / f"{split}.{form}"
        rows = parquet.read_table(path).num_rows if form == "parquet" else len(path.read_text().splitlines())
        assert rows == count
    alone = export_dataset({"test": built.examples["test"]}, card, form, tmp_path / "alone")  # type: ignore[arg-type]
    assert [path.name for path in alone] == [f"test.{form}"]
