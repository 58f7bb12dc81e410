"""How a processor's memory is used. Imports no torch."""

from __future__ import annotations

import os


def use_large_pages() -> None:
    """Ask torch to back large tensors with 2 MiB pages where the system offers them (Linux, madvise).

    A step's tensors come and go; in pages of 4 KiB each coming costs a fault for every page. Call it before torch
    makes its first tensor. What the environment says already stays.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
