"""Where the sample corpora lie, and how their foreign formats are opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
import zstandard

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "experiments" / "sample_corpora"


def read_jsonl(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLES / path).read_text("utf-8").splitlines()]


def read_written(path: str) -> Any:
    return yaml.safe_load((SAMPLES / "written" / path).read_text("utf-8"))


def read_zstd(path: str) -> list[dict[str, Any]]:
    """Pushshift's lines, with the 2 GiB window that its frames ask for."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    with (SAMPLES / path).open("rb") as frame:
        lines = decompressor.stream_reader(frame).read().decode().splitlines()
    return [json.loads(line) for line in lines]
