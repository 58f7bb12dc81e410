"""A state directory of its own, and the command line at work in it as its user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SECONDS = 600


@dataclass(frozen=True)
class Place:
    state_dir: Path
    # Variables in addition to those of this process.
    told: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "services.cli.main", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LIMA_STATE_DIR": str(self.state_dir), "OMP_NUM_THREADS": "2", **self.told}

    def ended(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command after its end, whatever that was."""
        return subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )

    def lima(self, *words: str) -> str:
        """What a command that must succeed printed."""
        ended = self.ended(*words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
