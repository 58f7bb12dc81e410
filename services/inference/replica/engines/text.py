"""From tokens to text as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"


class Decodes(Protocol):
    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str: ...


class TextStream:
    """Text of one answer. `push` returns what may be shown; once `stopped`, nothing follows.

    Joined, the pieces equal decoding all tokens at once, cut before the earliest stop string.
    """

    def __init__(self, tokenizer: Decodes, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._tokens: list[int] = []
        # Tokens before `_start` are done with; those up to `_shown` give context to the ones after.
        self._start = 0
        self._shown = 0
        self._held = ""
        self.stopped = False

    def push(self, token_ids: Sequence[int]) -> str:
        self._tokens.extend(token_ids)
        before = self._decode(self._start, self._shown)
        text = self._decode(self._start, len(self._tokens))
        if text.endswith(REPLACEMENT) or len(text) <= len(before):
            return ""
        self._start, self._shown = self._shown, len(self._tokens)
        return self._release(text[len(before) :])

    def finish(self) -> str:
        """What was held back, now that no token follows."""
        if self.stopped:
            return ""
        before = self._decode(self._start, self._shown)
        rest = self._decode(self._start, len(self._tokens))[len(before) :]
        text = self._release(rest)
        if self.stopped:
            return text
        held, self._held = self._held, ""
        return text + held

    def _decode(self, start: int, end: int) -> str:
        return self._tokenizer.decode(self._tokens[start:end], skip_special_tokens=True) if end > start else ""

    def _release(self, fresh: str) -> str:
        text = self._held + fresh
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`.

    >>> _overlap("the EN", "END"), _overlap("the end", "END")
    (2, 0)
    """
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-size:])), 0)
