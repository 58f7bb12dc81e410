"""The rules that decide whether a text may be a training example.

All are word-aware: "I" is the word, not the letter in "IO"; a rule says what it found, so that people can judge it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

FIRST_PERSON = ("I", "I'm", "I'd", "I'll", "I've", "me", "my", "mine", "myself")
CROSS_REFERENCES = (
    "as mentioned",
    "as already mentioned",
    "as others have said",
    "as noted above",
    "as noted by",
    "as pointed out",
    "stack exchange",
    "stackexchange",
    "stack overflow",
    "stackoverflow",
    "this site",
    "other answer",
    "other answers",
    "another answer",
    "previous answer",
    "answer above",
    "answers above",
    "answer below",
    "answers below",
    "accepted answer",
    "'s answer",
    "in the comments",
    "your comment",
    "downvote",
    "upvote",
    "the OP",
)
# A title that leans on something the reader cannot see.
_DANGLING = re.compile(
    r"\b(?:the (?:following|above|below|attached)|as follows|this (?:image|picture|photo|code|error|problem|question|"
    r"proof|integral|equation|quote|passage|sentence|riddle|puzzle|position|diagram|graph|example)|these (?:two|three|"
    r"images|pictures|lines)|see (?:below|above|image|picture)|shown (?:here|below)|in this case|"
    r"part (?:\d+|[IVX]+))\b",
    re.IGNORECASE,
)
_STARTS_IN_THE_MIDDLE = re.compile(
    r"^(?:and|but|or|so|then|also|it|they|he|she|this|that|these|those)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019\u2011-][^\W\d_]+)*|\d+")
_ASKING = re.compile(
    r"^(?:how|what|why|when|where|who|whom|whose|which|is|are|am|was|were|do|does|did|can|could|should|would|will|may|"
    r"might|must|has|have|had|in what|to what|for what|at what|from what|under what|by what|on what)\b",
    re.IGNORECASE,
)


def tokens(text: str) -> int:
    """Words, numbers and punctuation marks: the unit in which Table 1 is told here, free of any model's vocabulary."""
    return len(_TOKEN.findall(text))


_TOKEN = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    return _WORD.findall(text)


# ASCII letters, digits and "_" stay; every other byte becomes a space.
_KEPT = bytes(byte if (chr(byte).isalnum() and byte < 128) or byte == 0x5F else 0x20 for byte in range(256))


def _word_bytes(text: str) -> bytes:
    """The words of a text with one space between and around them."""
    return b" " + b" ".join(text.encode("utf-8", "replace").translate(_KEPT).split()) + b" "


@dataclass(frozen=True, slots=True)
class _Phrases:
    """Phrases that share one idea of case. `needles` find all that `pattern` does, and a little more, much faster."""

    pattern: re.Pattern[str]
    needles: tuple[bytes, ...]

    @classmethod
    def compile(cls, phrases: Sequence[str], flags: int) -> _Phrases:
        patterns = []
        for phrase in sorted(phrases, key=len, reverse=True):
            escaped = re.escape(phrase).replace(r"\ ", r"\s+").replace("'", "['\u2019]")
            # A phrase such as "'s answer" begins inside a word; all others begin where a word does.
            patterns.append(rf"\b{escaped}" if phrase[0].isalnum() else escaped)
        pattern = re.compile(rf"(?:{'|'.join(patterns)})(?!\w)", flags)
        return cls(pattern, tuple({_word_bytes(phrase) for phrase in phrases}))

    def find(self, text: str, words: bytes) -> str | None:
        if not any(needle in words for needle in self.needles):
            return None
        match = self.pattern.search(text)
        return match.group() if match else None


@dataclass(frozen=True, slots=True)
class PhraseFilter:
    """Finds any of a list of words or phrases, on word boundaries.

    A phrase with a capital ("I", "the OP") is case-sensitive, since "i" is a variable and "op" a word; the others are
    not. Both apostrophes match.
    """

    sensitive: _Phrases
    folded: _Phrases

    def find(self, text: str) -> str | None:
        """A phrase that occurs, or None."""
        words = _word_bytes(text)
        return self.sensitive.find(text, words) or self.folded.find(text, words.lower())


@lru_cache(maxsize=64)
def phrase_filter(phrases: tuple[str, ...]) -> PhraseFilter:
    """Raises ValueError for a phrase without a letter or digit: it would match nothing or everything."""
    if wrong := [phrase for phrase in phrases if not _word_bytes(phrase).strip()]:
        raise ValueError(f"{wrong[0]!r} has no letter or digit")
    sensitive = [phrase for phrase in phrases if phrase != phrase.lower()]
    folded = [phrase for phrase in phrases if phrase == phrase.lower()]
    return PhraseFilter(_Phrases.compile(sensitive, 0), _Phrases.compile(folded, re.IGNORECASE))


def title_problem(title: str) -> str | None:
    """Why the title alone does not explain the question, or None if it does."""
    count = len(words(title))
    if count < 4:
        return f"{count} words are too few to stand alone"
    found = _DANGLING.search(title)
    if found:
        return f"{found.group()!r} points at something outside the title"
    found = _STARTS_IN_THE_MIDDLE.match(title)
    if found:
        return f"begins in the middle, with {found.group()!r}"
    if not title.rstrip().endswith("?") and not _ASKING.match(title):
        return "asks nothing: no question mark and no question word at the start"
    return None
