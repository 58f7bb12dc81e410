"""Stack Exchange dumps: the best questions of a site, each with its top answer.

    Posts.xml ─► index (no decoding) ─► top answers with enough votes ─► filters on the answer ─► title ─► candidate

The filters run in the order of the funnel, the cheapest proof first: three of four answers with enough votes speak in
the first person, and a word in the escaped bytes of a body proves that without decoding it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.curation.candidates import Candidate, Origin
from services.curation.draws import uniform
from services.curation.filters import CROSS_REFERENCES, FIRST_PERSON, phrase_filter, title_problem
from services.curation.funnel import Funnel, MalformedLimit
from services.curation.html import UnreadableHtml, plain_text, prose_text
from services.curation.markdown import to_markdown
from services.curation.sources import rows
from services.curation.sources.attribution import Authors, post_attribution
from services.curation.sources.exchanges import group_of
from services.curation.sources.licences import Licences, licence_of
from services.curation.sources.posts import PostIndex, index_posts
from services.curation.sources.quick_look import needles_of, surely_says
from services.curation.sources.rows import RowFile
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.records import Turn

SCORE, FIRST, LENGTH, REFERENCES, TITLE = (
    "top answer score",
    "first person",
    "answer length",
    "cross-references",
    "self-contained title",
)
EVERY_SCORE = -1_000_000
_ROLES = {"posts.xml": "posts", "users.xml": "users", "comments.xml": "comments", "posthistory.xml": "history"}


def site_parts(files: Sequence[CorpusFile]) -> list[Part]:
    """One part per site: the folder that a Posts.xml lies in names the exchange."""
    sites: dict[str, dict[str, CorpusFile]] = {}
    for file in files:
        folder, _, name = file.name.rpartition("/")
        if role := _ROLES.get(name.lower()):
            sites.setdefault(folder.rpartition("/")[2].lower() or "unnamed", {})[role] = file
    return [Part(host, roles) for host, roles in sorted(sites.items()) if "posts" in roles]


@dataclass(frozen=True, slots=True)
class StackExchange:
    """Settings of the source, with the paper's defaults."""

    group: Literal["stem", "other", "any"] = "any"
    exchanges: tuple[str, ...] = ()
    temperature: float = 3.0
    min_answer_score: int = 10
    min_characters: int = 1200
    max_characters: int = 4096
    filtered: bool = True
    title_probability: float = 0.5
    first_person: tuple[str, ...] = FIRST_PERSON
    cross_references: tuple[str, ...] = CROSS_REFERENCES
    seed: int = 0

    @property
    def draw(self) -> Draw:
        return Draw("temperature", "score" if self.filtered else "random", self.temperature)

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        return [part for part in site_parts(files) if self.takes(part.name)]

    def takes(self, host: str) -> bool:
        if self.exchanges and host not in self.exchanges:
            return False
        group = group_of(host)
        return group != "dropped" and self.group in ("any", group)

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reader = _SiteReader(self, part, reading)
        yield from reader.candidates()


@dataclass(frozen=True, slots=True)
class _Answer:
    """A top answer that passed its filters. `html` is its body, `values` all of its row."""

    values: dict[str, str]
    offset: int
    score: int
    notes: tuple[str, ...] = field(default=())


class _SiteReader:
    def __init__(self, settings: StackExchange, part: Part, reading: Reading) -> None:
        self.settings = settings
        self.host = part.name
        self.posts = part.files["posts"]
        self.users = part.files.get("users")
        self.licences = Licences(part.files.get("history"))
        self.corpus = reading.corpus
        self.funnel: Funnel = reading.funnel
        self.malformed = MalformedLimit(reading.funnel, self.posts.name, reading.max_malformed)
        self.first_person = phrase_filter(settings.first_person)
        self.first_person_words = needles_of(settings.first_person)
        self.references = phrase_filter(settings.cross_references)

    def candidates(self) -> Iterator[Candidate]:
        least = self.settings.min_answer_score if self.settings.filtered else EVERY_SCORE
        index = index_posts(self.posts.path, least, self.malformed)
        if self.settings.filtered:
            self.funnel.declare(SCORE, FIRST, LENGTH, REFERENCES, TITLE)
            self.first_step = self.funnel.step(FIRST)
        else:
            self.funnel.declare(SCORE)
        repeated = 0
        for row_id, offset in index.questions.duplicates():
            repeated += 1
            self.malformed.add(offset, f"a second question with the id {row_id}")
        distinct = len(index.questions) - repeated
        self.funnel.enter(distinct)
        answered = sorted(index.top)
        places = index.questions.find_all(answered)
        questions = [(question, where) for question, where in zip(answered, places, strict=True) if where >= 0]
        self.funnel.remove_unseen(SCORE, distinct - len(questions))
        with RowFile(self.posts.path) as post_rows, Authors(self.users) as authors:
            for question, where in questions:
                candidate = self._candidate(question, where, index, post_rows, authors)
                if candidate is not None:
                    yield candidate

    def _candidate(
        self, question: int, where: int, index: PostIndex, post_rows: RowFile, authors: Authors
    ) -> Candidate | None:
        """The candidate of one question, or None where a filter or a malformed row ended it."""
        score, offset = index.top_answer(question)
        try:
            answer = self._answer(question, post_rows.row(offset), score, offset)
            if answer is None:
                return None
            offset = where
            return self._join(question, rows.attributes(post_rows.row(where)), answer, authors)
        except (rows.MalformedRow, UnreadableHtml) as error:
            self.malformed.add(offset, str(error))
            self.funnel.entered -= 1  # a malformed row is counted as such and nowhere else
            return None

    def _answer(self, question: int, row: bytes, score: int, offset: int) -> _Answer | None:
        settings = self.settings
        if not settings.filtered:
            return self._whole_answer(row, offset, score)
        body = rows.raw_attribute(row, b"Body")
        if not self._surely_removed(body) and not self._removed(question, body):
            return self._whole_answer(row, offset, score)
        return None

    def _whole_answer(self, row: bytes, offset: int, score: int) -> _Answer:
        values = rows.attributes(row)
        licence_of(values)  # an absurd date is a fault of this row, told with its offset
        return _Answer(values, offset, score)

    def _surely_removed(self, body: bytes) -> bool:
        """Remove an answer if its bytes prove what the exact filters would say, and nobody needs its text."""
        if self.first_step.full and surely_says(body, self.first_person_words):
            self.first_step.removed += 1
            return True
        return False

    def _removed(self, question: int, body: bytes) -> bool:
        """The exact filters, on the decoded body."""
        settings, name = self.settings, f"{self.host}-{question}"
        html = rows.decode(body)
        text = plain_text(html)
        prose = prose_text(html) if "<code" in html or "<pre" in html else text
        if found := self.first_person.find(prose):
            self.funnel.remove(FIRST, name, _around(prose, found), f"says {found!r}")
        elif not settings.min_characters <= len(text) <= settings.max_characters:
            rule = f"{len(text)} characters; wanted are {settings.min_characters} to {settings.max_characters}"
            self.funnel.remove(LENGTH, name, text, rule)
        elif found := self.references.find(prose):
            self.funnel.remove(REFERENCES, name, _around(prose, found), f"says {found!r}")
        else:
            return False
        return True

    def _join(self, question: int, values: dict[str, str], answer: _Answer, authors: Authors) -> Candidate | None:
        settings = self.settings
        name = f"{self.host}-{question}"
        title = " ".join(values.get("Title", "").split())
        if settings.filtered and (problem := title_problem(title)):
            self.funnel.remove(TITLE, name, title, problem)
            return None
        by_title = uniform(settings.seed, "prompt", name) < settings.title_probability
        prompt = title if by_title else to_markdown(values.get("Body", "")) or title
        response = to_markdown(answer.values.get("Body", ""))
        if not prompt or not response:
            raise rows.MalformedRow("a question or answer without text")
        licences = {self.licences.of(values), self.licences.of(answer.values)}
        step = f"prompt is the {'title' if by_title else 'description'}; HTML to Markdown"
        return Candidate(
            id=name,
            stratum=self.host,
            score=answer.score,
            messages=(Turn(role="user", content=prompt), Turn(role="assistant", content=response)),
            origin=Origin(self.corpus, self.posts.name, answer.offset, answer.values.get("Id", "")),
            attribution=post_attribution(self.host, values, answer.values, authors, licences),
            steps=(f"top answer of question {question}, score {answer.score}", step),
        )


def _around(text: str, found: str, width: int = 100) -> str:
    place = text.find(found)
    return text[max(0, place - width) : place + len(found) + width]
