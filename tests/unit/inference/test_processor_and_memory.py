"""What a replica asks of the system so that computing is fast and words are not late."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest
import torch

from services.inference.replica.engines.tensors import HUGE_PAGES, LEAST_WEIGHTS, use_huge_pages
from services.inference.replica.engines.turns import SLICE_NANOSECONDS, take_long_turns


def slice_of_this_thread() -> int:
    """Nanoseconds; skips where the kernel does not tell."""
    try:
        told = Path("/proc/thread-self/sched").read_text()
    except OSError as error:
        pytest.skip(f"no word of slices: {error}")
    found = re.search(r"se\.slice\s*:\s*(\d+)", told)
    return int(found[1]) if found else pytest.skip("a kernel without slices (they came with Linux 6.12)")


def test_long_turns_are_those_of_one_thread_and_of_the_ones_it_starts() -> None:
    common = slice_of_this_thread()
    seen: list[tuple[int, int, int]] = []

    def see() -> None:
        seen.append((slice_of_this_thread(), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)))

    def compute() -> None:
        assert take_long_turns()
        see()
        started = threading.Thread(target=see)
        started.start()
        started.join()

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    kept = (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
    assert seen == [(SLICE_NANOSECONDS, *kept)] * 2
    assert slice_of_this_thread() == common != SLICE_NANOSECONDS


def in_huge_pages(tensor: torch.Tensor) -> int:
    """KiB of the mapping that holds the tensor's middle."""
    middle = tensor.data_ptr() + tensor.nbytes // 2
    smaps = Path("/proc/self/smaps").read_text()
    for match in re.finditer(r"^([0-9a-f]+)-([0-9a-f]+) .*?^AnonHugePages:\s*(\d+) kB", smaps, re.M | re.S):
        if int(match[1], 16) <= middle < int(match[2], 16):
            return int(match[3])
    raise AssertionError("the tensor lies nowhere")


def test_weights_move_into_huge_pages_and_stay_what_they_are() -> None:
    if not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text():
        pytest.skip("this system gives no huge pages")
    weights = torch.arange(8 << 20, dtype=torch.float32)
    assert use_huge_pages(LEAST_WEIGHTS - 1) == 0
    moved = use_huge_pages(LEAST_WEIGHTS)
    assert torch.equal(weights, torch.arange(8 << 20, dtype=torch.float32))
    if moved < weights.nbytes - (4 << 20):
        # They come at once since Linux 6.1, while its memory is not in too many pieces.
        pytest.skip(f"the system had huge pages for {moved >> 20} MiB only")
    assert in_huge_pages(weights) >= 16 << 10
