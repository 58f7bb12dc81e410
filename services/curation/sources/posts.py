"""Which posts of a Stack Exchange dump can become candidates: one pass that decodes nothing."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path

from services.curation.funnel import MalformedLimit
from services.curation.sources import rows
from services.curation.sources.offset_index import OffsetIndex

QUESTION, ANSWER = 1, 2
# |score| beyond this is no vote count but a damaged or hostile file.
MAX_SCORE = 1_000_000

# The order in which every dump since 2009 writes the attributes that decide.
_HEAD = re.compile(
    rb'<row Id="(\d{1,10})" PostTypeId="(\d{1,2})"(?: AcceptedAnswerId="\d{1,10}")?(?: ParentId="(\d{1,10})")?'
    rb' CreationDate="[^"<]{0,40}" Score="(-?\d{1,7})"'
)


@dataclass(slots=True)
class PostIndex:
    """Offsets of all questions, and for each question its top answer.

    `top` maps a question's id to (score << 48) - offset, so that the greatest is the highest score and, of equal
    scores, the first in the file.
    """

    questions: OffsetIndex = field(default_factory=OffsetIndex)
    top: dict[int, int] = field(default_factory=dict)

    def top_answer(self, question: int) -> tuple[int, int]:
        """(score, offset) of a question's top answer."""
        packed = self.top[question]
        score = (packed + (1 << 48) - 1) >> 48
        return score, (score << 48) - packed

    def add_answer(self, question: int, score: int, offset: int) -> None:
        packed = (score << 48) - offset
        if packed > self.top.get(question, -(1 << 80)):
            self.top[question] = packed


def index_posts(path: Path, min_score: int, malformed: MalformedLimit) -> PostIndex:
    """Read a Posts.xml once. Answers below `min_score` are passed over: they cannot be the top answer that counts."""
    index = PostIndex()
    match_head, top, questions = _HEAD.match, index.top, index.questions
    add_id, add_offset = questions.ids.append, questions.offsets.append
    with path.open("rb", buffering=0) as file:
        for base, block, starts in rows.blocks(file, malformed):
            find_end = block.rfind
            for start, end in itertools.pairwise(starts):
                head = match_head(block, start)
                if head is None or find_end(b">", end - 8, end) < start:
                    _index_unusual(index, block, base, start, end, min_score, malformed)
                    continue
                row_id, kind, parent, score = head.groups()
                if kind == b"1":
                    add_id(int(row_id))
                    add_offset(base + start)
                elif kind == b"2" and (votes := int(score)) >= min_score and parent:
                    packed = (votes << 48) - base - start
                    question = int(parent)
                    if question not in top or packed > top[question]:
                        top[question] = packed
    return index


def _index_unusual(
    index: PostIndex, block: bytes, base: int, start: int, end: int, min_score: int, malformed: MalformedLimit
) -> None:
    """A row whose attributes stand in another order, a tag that is no row, or a malformed row."""
    offset = base + start
    if not rows.is_row(block, start):
        problem = rows.other_tag_problem(block, start, end)
        if problem:
            malformed.add(offset, problem)
        return
    if not rows.whole(block, start, end):
        malformed.add(offset, "a row that is cut off")
        return
    try:
        values = rows.attributes(block[start:end].rstrip())
        kind = values.get("PostTypeId", "")
        if kind not in ("1", "2"):
            if not kind:
                raise rows.MalformedRow("no PostTypeId")
            return
        row_id = whole_number(values, "Id", 0, 1 << 40)
        score = whole_number(values, "Score", -MAX_SCORE, MAX_SCORE)
        if kind == "1":
            index.questions.ids.append(row_id)
            index.questions.offsets.append(offset)
        elif score >= min_score:
            index.add_answer(whole_number(values, "ParentId", 0, 1 << 40), score, offset)
    except rows.MalformedRow as error:
        malformed.add(offset, str(error))


def whole_number(values: dict[str, str], name: str, least: int, most: int) -> int:
    """An attribute as an integer in [least, most]. Raises MalformedRow."""
    text = values.get(name, "")
    if re.fullmatch(r"-?[0-9]{1,18}", text) and least <= int(text) <= most:
        return int(text)
    raise rows.MalformedRow(f"{name} is {text[:40]!r}, not a whole number between {least} and {most}")
