"""Keeps prompts that will be tested out of what is trained on.

A text is contaminated by a prompt if both have the same words, or if they share a run of 13 words (as in Brown et al.
2020, appendix C). Case, punctuation and white space do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

NGRAM_WORDS = 13
_WORD = re.compile(r"\w+")


class PromptIndex:
    """The prompts to keep out, 8 bytes for each run of words."""

    def __init__(self, prompts: Iterable[str] = ()) -> None:
        self._whole: set[bytes] = set()
        self._runs: set[bytes] = set()
        for prompt in prompts:
            self.add(prompt)

    def add(self, prompt: str) -> None:
        words = _WORD.findall(prompt.lower())
        if words:
            self._whole.add(_key(words))
            self._runs.update(_runs(words))

    def contaminates(self, text: str) -> bool:
        words = _WORD.findall(text.lower())
        if not words:
            return False
        return _key(words) in self._whole or any(run in self._runs for run in _runs(words))


def _runs(words: list[str]) -> Iterable[bytes]:
    return (_key(words[place : place + NGRAM_WORDS]) for place in range(len(words) - NGRAM_WORDS + 1))


def _key(words: list[str]) -> bytes:
    return blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
