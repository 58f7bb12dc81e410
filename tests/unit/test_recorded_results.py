"""The page of recorded benchmarks says what the recordings say."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import recorded


def test_the_table_is_that_of_the_files() -> None:
    files = sorted(recorded.RESULTS.glob("*.json"))
    assert files
    assert recorded.TABLE.read_text() == recorded.page(files), (
        "benchmarks/results/README.md is stale: python -c 'from benchmarks import recorded; recorded.write()'"
    )


def test_a_result_without_a_peer_leaves_its_cells_empty(tmp_path: Path) -> None:
    path = tmp_path / "alone-cpu2.json"
    result = {"name": "alone", "metric": "a|b", "value": 1234.5, "unit": "s", "peer": "", "peer_value": None}
    path.write_text(json.dumps({**result, "ratio": None}))
    assert recorded.page([path]).splitlines()[-1] == "| [alone](alone-cpu2.json) | cpu2 | a\\|b | 1,234 s |  |  |  |"
