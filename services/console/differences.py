"""What an edit changed, word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

# A word or mark with the space after it.
WORDS = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
# The work grows with the pairs of equal tokens. Beyond this many texts are compared by line, then as a whole:
# they are foreign, and some are made of one word a thousand times.
MAX_PAIRS = 300_000

Kind = Literal["same", "removed", "added"]
WAYS: tuple[Callable[[str], Sequence[str]], ...] = (WORDS.findall, lambda text: text.splitlines(keepends=True))


@dataclass(frozen=True)
class Piece:
    kind: Kind
    text: str


def pieces(before: str, after: str) -> list[Piece]:
    """The pieces that make up `before` (same and removed) and `after` (same and added), in order.

    >>> [(piece.kind, piece.text) for piece in pieces("Boil it.", "Boil them.")]
    [('same', 'Boil '), ('removed', 'it'), ('added', 'them'), ('same', '.')]
    """
    for split in WAYS:
        old, new = split(before), split(after)
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        changed = old[head : len(old) - tail], new[head : len(new) - tail]
        if _pairs(*changed) <= MAX_PAIRS:
            ends = "".join(old[:head]), "".join(old[len(old) - tail :])
            return [*_kept(ends[0]), *_compared(*changed), *_kept(ends[1])]
    return [Piece("removed", before), Piece("added", after)]


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many tokens both begin with."""
    together = zip(old, new, strict=False)
    return next((place for place, (one, other) in enumerate(together) if one != other), min(len(old), len(new)))


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    counts = Counter(new)
    return sum(count * counts[token] for token, count in Counter(old).items())


def _kept(text: str) -> list[Piece]:
    return [Piece("same", text)] if text else []


def _compared(old: Sequence[str], new: Sequence[str]) -> list[Piece]:
    found: list[Piece] = []
    for operation, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation == "equal":
            found.append(Piece("same", "".join(old[i:j])))
            continue
        if j > i:
            found.append(Piece("removed", "".join(old[i:j])))
        if m > k:
            found.append(Piece("added", "".join(new[k:m])))
    return found
