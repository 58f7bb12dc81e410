"""Datasets in the forms that other tools read: JSONL, Parquet, a Hugging Face `datasets` folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as arrow
import pyarrow.parquet as parquet

from services.curation.selection import SPLITS
from services.shared.records import Example, Split

Format = Literal["jsonl", "parquet", "hf_datasets"]
# What the Hub calls the splits.
HUB_SPLITS: dict[Split, str] = {"train": "train", "dev": "validation", "test": "test"}
_TURN = arrow.struct([("role", arrow.string()), ("content", arrow.string())])
SCHEMA = arrow.schema(
    [
        ("id", arrow.string()),
        ("source", arrow.string()),
        ("split", arrow.string()),
        ("messages", arrow.list_(_TURN)),
        (
            "attribution",
            arrow.struct([(name, arrow.string()) for name in ("url", "author", "licence", "title", "created")]),
        ),
        ("tags", arrow.list_(arrow.string())),
        ("provenance", arrow.string()),
    ]
)
BATCH_ROWS = 1000


def export_dataset(
    examples: Mapping[Split, Iterable[Example]], readme: str, form: Format, folder: Path
) -> Sequence[Path]:
    """Write a dataset into an empty folder. Splits without examples have no file."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for split in SPLITS:
        rows = examples.get(split, ())
        if form == "jsonl":
            path = _jsonl(rows, folder / f"{split}.jsonl")
        else:
            name = f"{split}.parquet" if form == "parquet" else f"data/{HUB_SPLITS[split]}-00000-of-00001.parquet"
            path = _parquet(rows, folder / name)
        if path is not None:
            written.append(path)
    if form == "hf_datasets":
        card = folder / "README.md"
        card.write_text(_hub_card(readme, written), encoding="utf-8")
        written.append(card)
    return written


def _jsonl(rows: Iterable[Example], path: Path) -> Path | None:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for count, example in enumerate(rows, start=1):  # noqa: B007
            out.write(example.model_dump_json() + "\n")
    return _kept(path, count)


def _parquet(rows: Iterable[Example], path: Path) -> Path | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with parquet.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for count, example in enumerate(rows, start=1):  # noqa: B007
            row = example.model_dump(mode="json")
            batch.append(row | {"provenance": json.dumps(row["provenance"], ensure_ascii=False)})
            if len(batch) == BATCH_ROWS:
                writer.write_table(arrow.Table.from_pylist(batch, SCHEMA))
                batch.clear()
        if batch:
            writer.write_table(arrow.Table.from_pylist(batch, SCHEMA))
    return _kept(path, count)


def _kept(path: Path, count: int) -> Path | None:
    if count:
        return path
    path.unlink()
    return None


def _hub_card(readme: str, files: Sequence[Path]) -> str:
    """The dataset's card with the paths of this export."""
    card = readme
    for split, hub in HUB_SPLITS.items():
        card = card.replace(f"path: {split}.jsonl", f"path: data/{hub}-*.parquet")
    # The figures are not part of the export.
    return "\n".join(line for line in card.split("\n") if not line.startswith("![")) if files else card
