"""How a processor's memory is used. Imports no torch."""

from __future__ import annotations

import ctypes
import os
import platform

# What a step's tensors ask for comes and goes, step after step. In pages of 4 KiB each coming costs a fault for every
# page, so torch asks for pages of 2 MiB where the system offers them (Linux, madvise) ...
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
# ... and glibc keeps what was freed instead of giving it back to the system: all from one heap that never shrinks.
KEPT_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_ARENA_MAX": "1",
}
# The same by mallopt(3) for a process that runs already: M_MMAP_MAX, M_TRIM_THRESHOLD (-1 is never), M_ARENA_MAX.
_MALLOPT = ((-4, 0), (-1, -1), (-8, 1))


def keep_memory() -> None:
    """Let this process train without a page fault for every tensor; it then keeps its peak until it ends.

    Call it before torch makes its first tensor. What the environment says already stays. Does nothing where the C
    library is another one.
    """
    for name, value in LARGE_PAGES.items():
        os.environ.setdefault(name, value)
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in KEPT_HEAP):
        mallopt = ctypes.CDLL(None).mallopt
        for option, number in _MALLOPT:
            mallopt(option, number)


def release_memory() -> None:
    """Give back what is kept and not used, when the last step is done. Does nothing where the C library is another."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def worker_environment() -> dict[str, str]:
    """The same for processes that others start, as Ray's workers on any machine: their environment."""
    return {name: os.environ.get(name, value) for name, value in (LARGE_PAGES | KEPT_HEAP).items()}
