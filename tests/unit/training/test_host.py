"""Freed memory stays with a process that trains, until it is released."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import json
from training_jobs.host import keep_memory, release_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

keep_memory()
begin = resident()
block = bytearray(b"x") * (256 << 20)
del block
kept = resident() - begin
release_memory()
print(json.dumps([kept, resident() - begin]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, whose heap this is about")
def test_freed_memory_is_kept_until_it_is_released() -> None:
    """MiB above the beginning after 256 were freed, and after the release."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    kept, left = json.loads(ended.stdout)
    assert kept > 200
    assert left < 50
