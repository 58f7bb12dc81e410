"""The built corpora are what the readable texts say: written/ is the only thing people edit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.corpora.sample_files import SAMPLES


def run_build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLES, tmp_path / "sample_corpora"))


def test_committed_files_are_what_a_rebuild_gives() -> None:
    result = run_build(SAMPLES, "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_rebuilding_changes_nothing(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.suffix != ".zst"}
    assert run_build(copy).returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    assert run_build(copy, "--check").returncode == 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: (folder / "wikihow" / "Poach-an-Egg.html").unlink(), "missing: wikihow/Poach-an-Egg.html"),
        (lambda folder: (folder / "wikihow" / "Old.html").write_text("x"), "no longer written: wikihow/Old.html"),
        (
            lambda folder: (folder / "authored" / "group_b.jsonl").write_text("{}\n"),
            "differs: authored/group_b.jsonl",
        ),
        (
            lambda folder: shutil.copy(folder / "reddit/RS_AskReddit.zst", folder / "reddit/RC_WritingPrompts.zst"),
            "differs: reddit/RC_WritingPrompts.zst",
        ),
    ],
)
def test_drift_is_named(copy: Path, edit: object, message: str) -> None:
    assert callable(edit)
    edit(copy)
    result = run_build(copy, "--check")
    assert result.returncode == 1
    assert message in result.stdout.splitlines()
