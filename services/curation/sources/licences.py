"""The licence of a post: what its row states, else what its history states, else the one in force on its day."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from services.curation.funnel import Funnel, MalformedLimit
from services.curation.sources import rows
from services.curation.sources.rows import MalformedRow
from services.curation.sources.source import CorpusFile

# First day of each later licence of the network (stackoverflow.com/help/licensing).
_BY_DAY = (("2018-05-02", "CC-BY-SA-4.0"), ("2011-04-08", "CC-BY-SA-3.0"), ("0000", "CC-BY-SA-2.5"))
_DATE = re.compile(r"(?:200[89]|20[1-9]\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T")
# Revisions of a body: first, edited, rolled back.
_REVISION_HEAD = re.compile(
    rb'<row Id="\d{1,12}" PostHistoryTypeId="[258]" PostId="(\d{1,9})" RevisionGUID="[^"<]{0,64}" '
    rb'CreationDate="(20\d\d-\d\d-\d\d)T'
)
_STATED = b' ContentLicense="'
# Ids of posts are counted up; Stack Overflow's have passed 79 million.
MAX_POST_ID = 1 << 28


def licence_of(values: Mapping[str, str]) -> str:
    """The licence a row states, or the one in force when it was written. Raises MalformedRow for an absurd date."""
    created = values.get("CreationDate", "")
    if not _DATE.match(created):
        raise MalformedRow(f"CreationDate is {created[:40]!r}, not a date of the network's life")
    return _stated(values.get("ContentLicense", "")) or _of_day(created)


def _of_day(created: str) -> str:
    return next(licence for first_day, licence in _BY_DAY if created[:10] >= first_day)


def _stated(text: str) -> str:
    return re.sub(r"\s+", "-", text.strip())[:40]


class Licences:
    """The licences of a site's posts.

    PostHistory.xml is read once, and only when the row of a post states no licence: an edit puts the whole text under
    the licence of the day of the edit. One byte a post. What of the file cannot be read costs precision, no example.
    """

    def __init__(self, history: CorpusFile | None) -> None:
        self._history = history
        self._codes: NDArray[np.uint8] | None = None
        self._names: list[str] = [""]

    def of(self, post: Mapping[str, str]) -> str:
        """The licence of a row of Posts.xml. Raises MalformedRow for an absurd date."""
        licence = licence_of(post)
        number = post.get("Id", "")
        if self._history is None or post.get("ContentLicense") or not re.fullmatch(r"\d{1,9}", number):
            return licence
        if self._codes is None:
            self._codes = self._read(self._history)
        return (self._names[self._codes[int(number)]] if int(number) < MAX_POST_ID else "") or licence

    def _read(self, history: CorpusFile) -> NDArray[np.uint8]:
        """For each post the place in `_names` of the licence of its newest revision; revisions are in order of time."""
        codes = np.zeros(MAX_POST_ID, np.uint8)  # only what is written to takes memory
        known = {"": 0}
        tolerant = MalformedLimit(Funnel(), history.name, 1 << 60)
        with history.path.open("rb", buffering=0) as file:
            for _, block, start, end in rows.tags(file, tolerant):
                head = _REVISION_HEAD.match(block, start, end)
                if head is None or (post := int(head[1])) >= MAX_POST_ID:
                    continue
                place = block.rfind(_STATED, start, end) + len(_STATED)
                closing = block.find(b'"', place, end)
                written = bytes(block[place:closing]) if place >= len(_STATED) < closing else b""
                name = _stated(written.decode("utf-8", "replace")) or _of_day(head[2].decode())
                if name not in known and len(known) < 256:
                    known[name] = len(known)
                codes[post] = known.get(name, 0)
        self._names = list(known)
        return codes
