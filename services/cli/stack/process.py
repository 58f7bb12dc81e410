"""One background process of the stack: started detached, found again by id and start time, ended with its children."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

STOP_SECONDS = 10.0
KILL_SECONDS = 2.0
POLL_SECONDS = 0.02
LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class ProcessFile:
    """Remembers a process across commands. The start time tells it from a later process with the same id."""

    path: Path

    def write(self, process: psutil.Process) -> None:
        self.path.write_text(json.dumps({"pid": process.pid, "created": process.create_time()}))

    def find(self) -> psutil.Process | None:
        """The process if it still lives, else None."""
        try:
            remembered = json.loads(self.path.read_text())
            process = psutil.Process(remembered["pid"])
            if process.create_time() != remembered["created"]:
                return None
        except (OSError, ValueError, KeyError, psutil.Error):
            return None
        return process if lives(process) else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, file: ProcessFile) -> psutil.Process:
    """Start a command that outlives this one, its output going to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    process = psutil.Process(child.pid)
    file.write(process)
    return process


def stop(process: psutil.Process, patience: float = STOP_SECONDS) -> None:
    """Ask a process to end, wait up to `patience` seconds, then kill what is left of it and its children."""
    family = [*children(process), process]
    if patience:
        signal_all([process], psutil.Process.terminate)
        wait_for_end([process], patience)
    kill(family)


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def kill(processes: Sequence[psutil.Process]) -> None:
    signal_all(processes, psutil.Process.kill)
    wait_for_end(processes, KILL_SECONDS)


def lives(process: psutil.Process) -> bool:
    """Not one that has ended and that nobody collects: in a container without an init such are there for ever."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def wait_for_end(processes: Sequence[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def signal_all(processes: Iterable[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            send(process)


def stop_by_argument(argument: str) -> None:
    """End processes that carry `argument` in their command line: those whose parent was killed."""
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(argument in word for word in process.info["cmdline"] or []) and process.pid != os.getpid()
    ]
    kill([*(child for process in found for child in children(process)), *found])


def log_tail(log: Path) -> str:
    """The last lines of a log, for a message about why its process ended."""
    try:
        data = log.read_bytes()
    except OSError:
        return ""
    return data[-LOG_TAIL_BYTES:].decode(errors="replace").strip()


def resident_mib(process: psutil.Process) -> float:
    """Resident memory of a process and its children in MiB; shared pages count in each."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_info().rss
    except psutil.Error:
        pass
    return total / 2**20
