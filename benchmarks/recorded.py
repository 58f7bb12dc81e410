"""The table of every recorded result, so that no page repeats a number that a later recording changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
TABLE = RESULTS / "README.md"
_HEAD = """# Recorded results

Written by `--record`; the JSON files beside this page hold each run's machine, load, versions and rounds. A ratio
above 1 says that ours is better, whatever the metric.

| benchmark | machine | measured | ours | beside it | the peer's | ratio |
|---|---|---|---|---|---|---|
"""


def page(files: Iterable[Path]) -> str:
    """The table in Markdown, one row a file, by name."""
    return _HEAD + "".join(_row(path, json.loads(path.read_text())) for path in sorted(files))


def write() -> None:
    TABLE.write_text(page(RESULTS.glob("*.json")))


def _row(path: Path, result: dict[str, Any]) -> str:
    machine = path.stem.rpartition("-")[2]
    peer_value = "" if result["peer_value"] is None else f"{_number(result['peer_value'])} {result['unit']}"
    cells = [
        f"[{result['name']}]({path.name})",
        machine,
        result["metric"],
        f"{_number(result['value'])} {result['unit']}",
        result["peer"],
        peer_value,
        "" if result["ratio"] is None else f"{result['ratio']:.2f}",
    ]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
