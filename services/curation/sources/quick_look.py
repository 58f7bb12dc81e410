"""What can be said of a post's body without decoding it.

A body in a dump is HTML, escaped once more as an XML attribute. Most answers that a filter removes can be proved to be
removed by a few searches in those bytes; what is not proved goes through the exact filters. Every proof here errs on
one side: it may miss, it never removes what the exact filters would keep.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The tags of html.plain_text's fast way, as they stand in an escaped attribute. Readers see the content of each.
_TAG = re.compile(
    rb"&lt;/?(?:p|a|em|strong|code|pre|ul|ol|li|blockquote|h[1-6]|img|br|hr|sup|sub|b|i|s|del|kbd|div|span)"
    rb"(?: [a-z-]+=&quot;(?:[^&<\"]|&amp;)*&quot;)* ?/?&gt;"
)
_AMPERSAND = ord("&")


def needles_of(words: Iterable[str]) -> tuple[bytes, ...]:
    """The byte strings in which each word most often stands: between spaces, and with a capital after a tag.

    Words that need escaping have none.
    """
    plain = [word for word in words if word.isascii() and word.replace("'", "").isalpha() and word[0] != "'"]
    ordered = sorted(plain, key=lambda word: (word == word.lower(), len(word)))
    between = [f" {word} ".encode() for word in ordered]
    return (*between, *(f"&gt;{word[0].upper()}{word[1:]} ".encode() for word in ordered))


def surely_says(body: bytes, needles: Iterable[bytes]) -> bool:
    """Whether one of the needles surely stands in the prose: outside every tag and all code."""
    find = body.find
    for needle in needles:
        place = find(needle)
        if place >= 0 and _in_prose(body, place + 4 if needle[0] == _AMPERSAND else place):
            return True
    return False


def _in_prose(body: bytes, place: int) -> bool:
    """Whether all tags before `place` are plain ones and closed there, and no code is open. What follows cannot matter.

    A plain tag holds no "<" in its attributes: one for each "<" leaves none open, and none whose content is not seen.
    """
    return (
        _closed(body, place, b"&lt;code", b"&lt;/code")
        and _closed(body, place, b"&lt;pre", b"&lt;/pre")
        and len(_TAG.findall(body, 0, place)) == body.count(b"&lt;", 0, place)
    )


def _closed(body: bytes, place: int, opening: bytes, closing: bytes) -> bool:
    opened = body.rfind(opening, 0, place)
    return opened < 0 or (
        opened < body.rfind(closing, 0, place) and body.count(opening, 0, place) == body.count(closing, 0, place)
    )
