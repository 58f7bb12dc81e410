"""What the batching engine asks of a forward pass: hidden states and logits of tokens at slots and positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from services.inference.replica.engines.architecture import Shape


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one text, prompt or drawn: its slot, and the position of the first of them."""

    slot: int
    start: int
    tokens: Sequence[int]

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


class Decoder(Protocol):
    """Keys and values of every slot lie in a cache of its own. Tensors given back hold until the next call.

    Where `row_stable`, a row comes out bit for bit the same whatever the others are and however many.
    Where the processor at hand does not allow that, batches are filled up to one width, which has the same effect.
    """

    @property
    def shape(self) -> Shape: ...

    @property
    def parameter_count(self) -> int: ...

    @property
    def row_stable(self) -> bool: ...

    def prefill(self, part: Part) -> torch.Tensor:
        """Hidden [tokens, hidden] of all tokens of a text's part."""
        ...

    def turn(self, prompts: Sequence[Part], steps: Sequence[Part], idle_position: Callable[[int], int]) -> torch.Tensor:
        """Pieces of several prompts, and one token (`steps`, in the order of their slots) of each text being written.

        Gives hidden [prompts + steps, hidden] of the last token of each. `idle_position` says where a slot
        without a step may be written to, if a pass has to cover it.
        """
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[rows, hidden] -> [rows, vocabulary]."""
        ...

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Keys and values of the first `length` tokens, whole chunks, from one slot to another."""
        ...
