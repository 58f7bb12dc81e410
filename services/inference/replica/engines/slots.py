"""The places of a batch, and what their caches still remember of earlier prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# Prompts are run in pieces of this many tokens, always cut at its multiples. A piece remembered from an
# earlier prompt was therefore computed with the very shapes that computing it again would have, so reuse
# cannot change a single bit of the answer.
CHUNK = 128


@dataclass(slots=True)
class Slot:
    """`known` are the prompt tokens whose keys and values are valid, from position 0 on."""

    index: int
    known: list[int] = field(default_factory=list)
    busy: bool = False


def shared_prefix(known: Sequence[int], prompt: Sequence[int]) -> int:
    """Tokens of `prompt` that need not be run again: whole chunks, and never the last token.

    >>> shared_prefix([1] * 300, [1] * 300)
    256
    >>> shared_prefix([1] * 256, [1] * 256)
    128
    """
    whole = max(min(len(known), len(prompt) - 1), 0) // CHUNK
    for chunk in range(whole):
        part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        if known[part] != prompt[part]:
            return chunk * CHUNK
    return whole * CHUNK


class SlotTable:
    """Who sits where. The lowest free slot is taken, because a decoding step covers all slots up to the last."""

    def __init__(self, count: int) -> None:
        self.slots = [Slot(index) for index in range(count)]

    def take(self, prompt: Sequence[int]) -> Slot | None:
        free = [slot for slot in self.slots if not slot.busy]
        if not free:
            return None
        best = max(free, key=lambda slot: (shared_prefix(slot.known, prompt), -slot.index))
        chosen = best if shared_prefix(best.known, prompt) else free[0]
        chosen.busy = True
        return chosen

    def release(self, slot: Slot) -> None:
        slot.busy = False

    def idle_position(self, index: int, longest: int) -> int:
        """Where a row without a job writes its meaningless token: behind what the slot remembers.

        A free slot forgets what lies beyond the longest job, so that no step attends further than it must.
        """
        slot = self.slots[index]
        if not slot.busy and len(slot.known) > longest:
            del slot.known[longest:]
        return len(slot.known)

    def best_source(self, prompt: Sequence[int]) -> tuple[Slot, int]:
        """The slot that remembers most of `prompt`, and how many tokens of it."""
        source = max(self.slots, key=lambda slot: shared_prefix(slot.known, prompt))
        return source, shared_prefix(source.known, prompt)

    @property
    def busy(self) -> int:
        return sum(slot.busy for slot in self.slots)
