"""python reload.py MODULE: runs a module, and runs it again whenever a file of the code changes. For `skaffold dev`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

CODE = (Path("/app/services"), Path("/app/training_jobs"), Path("/app/protos"))
POLL_SECONDS = 0.5


def newest() -> float:
    return max((file.stat().st_mtime for folder in CODE for file in folder.rglob("*.*")), default=0.0)


def main() -> int:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    while not stopped:
        seen = newest()
        child = subprocess.Popen([sys.executable, "-m", *sys.argv[1:]])
        # A child that died of a syntax error waits for the next change, instead of being started over and over.
        while not stopped and newest() == seen:
            time.sleep(POLL_SECONDS)
        child.terminate()
        child.wait(timeout=40)
    return 0


if __name__ == "__main__":
    sys.exit(main())
