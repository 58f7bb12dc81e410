"""Ending a process of the stack, also where nobody collects the dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.cli.stack.process import ProcessFile, lives, stop, stop_by_argument

# Longer than the test may take.
PATIENCE = 600.0
PARENT = """
import subprocess, sys, time
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv[1:]]) for _ in range(8)]
print(*(child.pid for child in children), flush=True)
time.sleep(600)
"""


@pytest.fixture
def neglected(tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """Processes of a parent that never looks after them, as in a container whose first process is no init."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        yield [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
        parent.kill()


@pytest.mark.timeout(60)
def test_one_that_has_ended_is_not_waited_for(neglected: list[psutil.Process], tmp_path: Path) -> None:
    child = neglected[0]
    file = ProcessFile(tmp_path / "child.json")
    file.write(child)
    assert file.find() == child
    stop(child, PATIENCE)
    assert child.status() == psutil.STATUS_ZOMBIE
    assert not lives(child)
    assert file.find() is None


@pytest.mark.timeout(60)
def test_all_that_carry_an_argument_end_together(
    neglected: list[psutil.Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.stack.process.KILL_SECONDS", PATIENCE)
    stop_by_argument(str(tmp_path))
    assert not any(map(lives, neglected))
