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
