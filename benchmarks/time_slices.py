"""Commands that share a machine by turns of seconds, so that its moods fall on all of them alike."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

SLICE_SECONDS = 2.0


@dataclass
class Contestant:
    """A running command, and when it and its children were let run (seconds since the epoch)."""

    name: str
    process: subprocess.Popen[bytes]
    slices: list[tuple[float, float]] = field(default_factory=list)

    def seconds_between(self, begin: float, end: float) -> float:
        """For how long it ran between two moments."""
        return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in self.slices)

    def signal(self, number: signal.Signals) -> None:
        """To the command and all that it has started."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        self.process.send_signal(number)


def in_slices(commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> dict[str, Contestant]:
    """Run all commands to their ends, one at a time for `SLICE_SECONDS`, the others stopped meanwhile.

    Raises SystemExit when one of them fails; the others are ended then.
    """
    found: dict[str, Contestant] = {}
    try:
        for name, command in commands.items():
            # In sessions of their own: the system ends stopped processes of one whose shell goes.
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=subprocess.DEVNULL, start_new_session=True
            )
            found[name] = Contestant(name, process)
            found[name].signal(signal.SIGSTOP)
        while running := [one for one in found.values() if one.process.poll() is None]:
            for one in running:
                _one_slice(one)
    finally:
        for one in found.values():
            if one.process.poll() is None:
                one.signal(signal.SIGTERM)
                one.signal(signal.SIGCONT)
                one.process.wait()
    return found


def _one_slice(one: Contestant) -> None:
    begin = time.time()
    one.signal(signal.SIGCONT)
    with suppress(subprocess.TimeoutExpired):
        one.process.wait(SLICE_SECONDS)
    if one.process.returncode:
        raise SystemExit(f"{one.name} ended with exit code {one.process.returncode}: its reason is above")
    one.signal(signal.SIGSTOP)
    one.slices.append((begin, time.time()))
