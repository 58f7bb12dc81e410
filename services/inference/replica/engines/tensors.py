"""Tensors from files, and memory that is taken and given back as it is needed."""

from __future__ import annotations

import ctypes
import math
import mmap
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from services.inference.replica.engines.architecture import UnsupportedModel

HUGE_PAGE = 2 << 20
# What is smaller is left in small pages: a huge one is taken whole, however little of it is used.
LEAST_HUGE = 2 * HUGE_PAGE
# Weights below this many bytes stay in the processor's caches, or nearly.
LEAST_WEIGHTS = 64 << 20
# madvise of Linux: huge pages from now on; and at once, for what is there already (since 6.1).
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
# A system that refused so many in a row has no more of them; each refusal takes milliseconds.
MOST_REFUSED = 64
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class Weights:
    """Tensors of a Hugging Face folder by name, read one at a time from its safetensors files."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._files.update(dict.fromkeys(file.keys(), file))
        if not self._files:
            raise UnsupportedModel(f"{folder.name} holds no safetensors file: register the model again")

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        # A copy: one tensor that lies in the mapped file keeps all of it in memory.
        return tensor.to(torch.float32, copy=True)

    def get(self, name: str) -> torch.Tensor | None:
        return self[name] if name in self._files else None

    def fused(self, *names: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Weights [sum of outputs, inputs], and biases where all have one, of linear layers that share their input."""
        biases = [bias for name in names if (bias := self.get(f"{name}.bias")) is not None]
        weight = torch.cat([self[f"{name}.weight"] for name in names])
        return weight, torch.cat(biases) if len(biases) == len(names) else None

    def parameter_count(self) -> int:
        return sum(math.prod(file.get_slice(name).get_shape()) for name, file in self._files.items())


def lazy_zeros(size: tuple[int, ...]) -> torch.Tensor:
    """Zeros that take memory page by page as they are written to."""
    memory = mmap.mmap(-1, 4 * math.prod(size))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A slot's texts are short beside its capacity: with huge pages a word would take 2 MiB in every layer.
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32).view(size)


def return_freed_memory() -> None:
    """Fusing leaves as much freed memory behind as the weights take, which glibc keeps unless it is asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def use_huge_pages(weights: int) -> int:
    """Moves what this process holds in memory of its own into pages of 2 MiB; gives the bytes that lie in such now.

    Weights are read from end to end for every token. In pages of 4 KiB a sixth of that time goes into finding the
    pages, and most systems give no others unless they are asked. Does nothing where the system is told not to.

    Args:
        weights: their bytes; for small ones nothing is done.
    """
    if weights < LEAST_WEIGHTS or not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text():
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    moved = refused = 0
    for begin, end in _own_memory():
        advise(begin, end - begin, MADV_HUGEPAGE)
        # One by one: a refused page ends the whole of a call.
        for page in range(begin, end, HUGE_PAGE):
            if refused < MOST_REFUSED:
                # Once more if it was busy.
                done = not all(advise(page, HUGE_PAGE, MADV_COLLAPSE) for _ in range(2))
                moved, refused = (moved + HUGE_PAGE, 0) if done else (moved, refused + 1)
    return moved


def _own_memory() -> list[tuple[int, int]]:
    """Where this process has private memory that is no file's, in whole huge pages."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        bounds, access, _, _, inode, *name = line.split(maxsplit=5)
        if access != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
            continue
        begin, end = (int(bound, 16) for bound in bounds.split("-"))
        begin, end = -(-begin // HUGE_PAGE) * HUGE_PAGE, end // HUGE_PAGE * HUGE_PAGE
        if end - begin >= LEAST_HUGE:
            found.append((begin, end))
    return found
