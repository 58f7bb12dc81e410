"""Which posts of a Stack Exchange dump can become candidates: one pass that decodes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from services.curation.funnel import MalformedLimit
from services.curation.sources import rows
from services.curation.sources.offset_index import OffsetIndex

# |score| beyond this is no vote count but a damaged or hostile file.
MAX_SCORE = 1_000_000


def _head(min_score: int) -> re.Pattern[bytes]:
    """The attributes that decide, in the order in which every dump since 2009 writes them.

    The last group that took part tells the rows apart: 1, the id of a question; 3, after 2, the question and the
    score of an answer whose score has as many digits as `min_score`; 2, an answer to pass over; 4, neither of the two.
    """
    digits = rf"\d{{{len(str(min_score))},7}}" if min_score > 0 else r"-?\d{1,7}"
    created = r' CreationDate="[^"<]{0,40}" Score="'
    question = rf'1"(?: AcceptedAnswerId="\d{{1,10}}")?{created}-?\d{{1,7}}"'
    answer = rf'2" ParentId="(\d{{1,10}})"{created}(?:({digits})|-?\d{{1,7}})"'
    return re.compile(rf'<row Id="(\d{{1,10}})" PostTypeId="(?:{question}|{answer}|(?:[3-9]|\d\d)"())'.encode())


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
    match_head, top, questions = _head(min_score).match, index.top, index.questions
    add_id, add_offset = questions.ids.append, questions.offsets.append
    with path.open("rb", buffering=0) as file:
        for base, buffer, limit in rows.blocks(file, malformed):
            find, find_end = buffer.find, buffer.rfind
            start = find(b"<", 0, limit)
            while start >= 0:
                following = find(b"<", start + 1, limit)
                end = following if following >= 0 else limit
                head = match_head(buffer, start, end)
                if head is None or find_end(b">", end - 8, end) < start:
                    _index_unusual(index, buffer, base, start, end, min_score, malformed)
                elif head.lastindex == 3:
                    if (score := int(head[3])) >= min_score:
                        packed, question = (score << 48) - base - start, int(head[2])
                        if question not in top or packed > top[question]:
                            top[question] = packed
                elif head.lastindex == 1:
                    add_id(int(head[1]))
                    add_offset(base + start)
                start = following
    return index


def _index_unusual(
    index: PostIndex, block: bytearray, base: int, start: int, end: int, min_score: int, malformed: MalformedLimit
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
        values = rows.attributes(bytes(block[start:end]).rstrip())
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
