"""Multi-turn chains: written by authors, or made of the comments under Stack Exchange answers.

A comment chain is raw material: question, top answer, then what the two people said to each other below it. Nobody
should train on it before it was edited, so it is meant for the review queue.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.curation.candidates import Candidate, Origin
from services.curation.funnel import MalformedLimit
from services.curation.html import UnreadableHtml
from services.curation.markdown import to_markdown
from services.curation.sources import rows
from services.curation.sources.attribution import Authors, post_attribution
from services.curation.sources.authored import record_parts, written_candidates
from services.curation.sources.licences import Licences, licence_of
from services.curation.sources.posts import index_posts
from services.curation.sources.rows import MalformedRow, RowFile
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.curation.sources.stack_exchange import site_parts
from services.shared.records import Turn

TURNS = "enough turns"
_COMMENT_HEAD = re.compile(rb'<row Id="\d{1,12}" PostId="(\d{1,12})"')


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`min_turns` counts the user's turns."""

    origin: Literal["authored", "stack_exchange_comments"] = "authored"
    min_turns: int = 2
    min_answer_score: int = 5

    @property
    def draw(self) -> Draw:
        return Draw("none", "score" if self.origin == "stack_exchange_comments" else "random")

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        if self.origin == "authored":
            return record_parts(files)
        return [part for part in site_parts(files) if "comments" in part.files]

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reading.funnel.declare(TURNS)
        if self.origin == "authored":
            candidates: Iterator[Candidate] = (candidate for candidate, _ in written_candidates(part, reading))
        else:
            candidates = _comment_chains(part, reading, self.min_answer_score)
        for candidate in candidates:
            count = sum(turn.role == "user" for turn in candidate.messages)
            if count < self.min_turns:
                rule = f"{count} user turns; at least {self.min_turns} are wanted"
                reading.funnel.remove(TURNS, candidate.id, candidate.prompt(), rule)
            else:
                yield candidate


def _comment_chains(part: Part, reading: Reading, min_score: int) -> Iterator[Candidate]:
    posts, comments = part.files["posts"], part.files["comments"]
    malformed = MalformedLimit(reading.funnel, posts.name, reading.max_malformed)
    index = index_posts(posts.path, min_score, malformed)
    licences = Licences(part.files.get("history"))
    below = _comment_offsets(comments, MalformedLimit(reading.funnel, comments.name, reading.max_malformed))
    with (
        RowFile(posts.path) as post_rows,
        RowFile(comments.path) as comment_rows,
        Authors(part.files.get("users")) as authors,
    ):
        for question in sorted(index.top):
            where = index.questions.find(question)
            score, offset = index.top_answer(question)
            if where is None:
                continue
            try:
                asked = rows.attributes(post_rows.row(where))
                answered = rows.attributes(post_rows.row(offset))
                offsets = below.get(int(answered.get("Id") or 0), array("q"))
                said = [rows.attributes(comment_rows.row(place)) for place in offsets]
                turns = _chain(asked, answered, said)
                terms = {licences.of(asked), licences.of(answered), *_comment_licences(asked, answered, said)}
                attribution = post_attribution(part.name, asked, answered, authors, terms)
            except (MalformedRow, UnreadableHtml) as error:
                malformed.add(offset, str(error))
                continue
            reading.funnel.enter()
            yield Candidate(
                id=f"{part.name}-comments-{answered['Id']}",
                stratum=part.name,
                score=score,
                messages=turns,
                origin=Origin(reading.corpus, posts.name, offset, answered["Id"]),
                attribution=attribution,
                tags=("dialogue", "needs-editing"),
                steps=(f"question {question}, its top answer and {len(said)} comments below it",),
            )


def _comment_offsets(comments: CorpusFile, malformed: MalformedLimit) -> dict[int, array[int]]:
    """Offsets of the comments of each post, in file order."""
    below: dict[int, array[int]] = defaultdict(lambda: array("q"))
    with comments.path.open("rb", buffering=0) as file:
        for base, block, start, end in rows.tags(file, malformed):
            if head := _COMMENT_HEAD.match(block, start):
                if rows.whole(block, start, end):
                    below[int(head[1])].append(base + start)
                else:
                    malformed.add(base + start, "a row that is cut off")
            elif not rows.is_row(block, start) and (problem := rows.other_tag_problem(block, start, end)):
                malformed.add(base + start, problem)
    return below


def _comment_licences(asked: dict[str, str], answered: dict[str, str], said: list[dict[str, str]]) -> set[str]:
    people = {asked.get("OwnerUserId"), answered.get("OwnerUserId")}
    return {licence_of(comment) for comment in said if comment.get("UserId", "nobody") in people}


def _chain(asked: dict[str, str], answered: dict[str, str], said: list[dict[str, str]]) -> tuple[Turn, ...]:
    """Question, answer, then the comments of the two, joined where one speaks twice; it ends with the answerer."""
    title, body = asked.get("Title", "").strip(), to_markdown(asked.get("Body", ""))
    spoken = [("user", f"{title}\n\n{body}".strip()), ("assistant", to_markdown(answered.get("Body", "")))]
    if not spoken[0][1] or not spoken[1][1]:
        raise MalformedRow("a question or answer without text")
    people = {asked.get("OwnerUserId"): "user", answered.get("OwnerUserId"): "assistant"}
    for comment in sorted(said, key=lambda values: values.get("CreationDate", "")) if len(people) == 2 else []:
        role = people.get(comment.get("UserId", "nobody"))
        text = re.sub(r"^@\S+\s+", "", comment.get("Text", "").strip())
        if role is None or not text:
            continue
        if spoken[-1][0] == role and len(spoken) > 2:
            spoken[-1] = (role, f"{spoken[-1][1]} {text}")
        elif spoken[-1][0] != role:
            spoken.append((role, text))
    while spoken[-1][0] != "assistant":
        spoken.pop()
    return tuple(Turn.model_validate({"role": role, "content": content}) for role, content in spoken)
