"""wikiHow articles: pages as the site serves them, and the CSV and JSON tables in circulation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.curation.candidates import Candidate, Origin
from services.curation.funnel import MalformedLimit
from services.curation.html import UnreadableHtml, parse_page
from services.curation.markdown import node_to_markdown
from services.curation.sources.records import Record, records_of, text_field
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.records import Attribution, Turn

BODY, TITLE = "article body", "how-to title"
LICENCE = "CC-BY-NC-SA-3.0"
PRUNED_SECTIONS = (
    "About This Article",
    "Article Info",
    "Community Q&A",
    "Expert Q&A",
    "Questions & Answers",
    "Quiz",
    "Reader Success Stories",
    "References",
    "Related Articles",
    "Related wikiHows",
    "Sources and Citations",
    "Things You'll Need",
    "Tips",
    "Tips and Warnings",
    "Video",
    "Warnings",
    "You Might Also Like",
)
MIN_BODY_CHARACTERS = 200
MAX_PAGE_BYTES = 4 << 20
# What the site wraps around an article: tables of contents, bylines, votes, advertisements, footnote marks.
_FURNITURE = (
    "#method_toc, #coauthor_byline, .article_byline, .pdf_link, .mwimg, .image_details, .reference, .ts_popup, "
    ".step_num, .stepanchor, .checkmark, .clearall, .altblock, .wh_ad_inner, .wh_vote_container, .addTipElement, "
    ".qa_divider, .whvid, .m-video, .video-player, .section_share, .mw-ui-icon, .newtip, .tip_waiting, #summary_text, "
    "[hidden], [role=navigation], nav, aside, footer, ins, button"
)
# Sections of a page that are no part of the article itself, by the class or id the site gives them.
_FOREIGN_NAMES = (
    "qa relatedwikihows references articleinfo aboutthisarticle userreviews_mobile userreviews_anchor video "
    "aiinfo contribute_article_container bss_share_container relatedarticles"
)
_FOREIGN = frozenset(_FOREIGN_NAMES.split())
_SECTION_NAMES = {"tips": "Tips", "warnings": "Warnings", "thingsyoullneed": "Things You'll Need", "quiz": "Quiz"}
_SELF_REFERENCE = re.compile(r"(^|(?<=[.!?]\s)|(?<=\n))This (?:article|wikiHow)(?= (?:article )?\w)")
_HOW_TO = re.compile(r"^how to\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wikihow:
    pruned_sections: tuple[str, ...] = PRUNED_SECTIONS

    @property
    def draw(self) -> Draw:
        return Draw("uniform", "random")

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        known = (".html", ".htm", ".csv", ".json", ".jsonl", ".parquet")
        named = sorted((file for file in files if file.name.lower().endswith(known)), key=lambda file: file.name)
        return [Part(file.name, {"articles": file}) for file in named]

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        reading.funnel.declare(TITLE, BODY)
        file = part.files["articles"]
        malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
        if not file.name.lower().endswith((".html", ".htm")):
            yield from self._tables(file, reading, malformed)
            return
        try:
            article = self._page(file)
        except (UnreadableHtml, UnicodeDecodeError) as error:
            malformed.add(0, str(error)[:200])
            return
        candidate = self._candidate(article, Origin(reading.corpus, file.name, 0, article.row_id), reading)
        if candidate:
            yield candidate

    def _tables(self, file: CorpusFile, reading: Reading, malformed: MalformedLimit) -> Iterator[Candidate]:
        """Rows of one article stand together: some tables hold an article in one row, some a section in each."""
        rows = records_of(file.path, file.name, malformed)
        for title, group in groupby(rows, key=lambda item: _table_title(item[1])):
            members = list(group)
            offset = members[0][0]
            if not title:
                malformed.add(offset, "a row without a title")
                continue
            article = _from_rows(title, [row for _, row in members], self.pruned_sections)
            candidate = self._candidate(article, Origin(reading.corpus, file.name, offset, title), reading)
            if candidate:
                yield candidate

    def _page(self, file: CorpusFile) -> _Article:
        data = file.path.read_bytes()[: MAX_PAGE_BYTES + 1]
        if len(data) > MAX_PAGE_BYTES:
            raise UnreadableHtml(f"a page of more than {MAX_PAGE_BYTES} bytes")
        page = parse_page(data.decode("utf-8"))
        heading = page.css_first("h1")
        title = " ".join(heading.text().split()) if heading else ""
        canonical = page.css_first("link[rel=canonical]")
        url = (canonical.attributes.get("href") or "") if canonical else ""
        for node in page.css(_FURNITURE):
            node.decompose()
        sections = page.css("div.section")
        body = "\n\n".join(self._sections(sections)) if sections else self._plain_page(page, heading)
        return _Article(title, body, _category(page), url, url.rpartition("/")[2] or PurePosixPath(file.name).stem)

    def _sections(self, sections: list[LexborNode]) -> Iterator[str]:
        pruned = {name.casefold() for name in self.pruned_sections}
        for section in sections:
            names = {*(section.attributes.get("class") or "").split(), section.attributes.get("id") or ""}
            if names & _FOREIGN or any(
                _SECTION_NAMES[name].casefold() in pruned for name in names & set(_SECTION_NAMES)
            ):
                continue
            heading = section.css_first(".mw-headline, h2, h3")
            if heading and heading.text(strip=True).casefold() in pruned:
                continue
            if "intro" in names:
                yield "\n\n".join(filter(None, (node_to_markdown(node) for node in section.css("p"))))
            else:
                yield node_to_markdown(section)

    def _plain_page(self, page: LexborHTMLParser, heading: LexborNode | None) -> str:
        """A page without the site's section marks: its main element, less the title and the pruned headings."""
        root = page.css_first("article") or page.css_first("main") or page.body
        if heading is not None:
            heading.decompose()
        return prune(node_to_markdown(root), self.pruned_sections) if root else ""

    def _candidate(self, article: _Article, origin: Origin, reading: Reading) -> Candidate | None:
        reading.funnel.enter()
        name = "wikihow-" + (re.sub(r"[^A-Za-z0-9]+", "-", article.row_id).strip("-")[:80] or "untitled")
        if not _HOW_TO.match(article.title):
            reading.funnel.remove(TITLE, name, article.title, "does not begin with 'How to'")
            return None
        body = _SELF_REFERENCE.sub(r"\1The following answer", article.body).strip()
        if len(body) < MIN_BODY_CHARACTERS:
            reading.funnel.remove(
                BODY, name, body, f"{len(body)} characters; at least {MIN_BODY_CHARACTERS} are wanted"
            )
            return None
        return Candidate(
            id=name,
            stratum=article.category,
            score=0.0,
            messages=(Turn(role="user", content=f"{article.title.rstrip('?')}?"), Turn(role="assistant", content=body)),
            origin=origin,
            attribution=Attribution(
                url=article.url, author="wikiHow contributors", licence=LICENCE, title=article.title
            ),
            steps=(f"article of category {article.category}; sections pruned, HTML to Markdown",),
        )


@dataclass(frozen=True, slots=True)
class _Article:
    title: str
    body: str
    category: str
    url: str
    row_id: str


def _category(page: LexborHTMLParser) -> str:
    """The top category of a page: the first crumb after "Categories" and "Home"."""
    for node in page.css("#breadcrumb a, .breadcrumbs a, #breadcrumb li, .breadcrumb a"):
        text = " ".join(node.text().split())
        if text and text.casefold() not in ("categories", "home", "wikihow"):
            return text
    return "uncategorised"


def prune(markdown: str, sections: Sequence[str]) -> str:
    """Markdown without the sections whose heading is in the list, up to the next heading of the same level."""
    pruned = {name.casefold() for name in sections}
    kept: list[str] = []
    skipping = 0
    for block in markdown.split("\n\n"):
        heading = re.match(r"(#{1,6}) (.+)", block)
        if heading and (not skipping or len(heading[1]) <= skipping):
            skipping = len(heading[1]) if heading[2].strip().casefold() in pruned else 0
        if not skipping:
            kept.append(block)
    return "\n\n".join(kept)


def _table_title(row: Record) -> str:
    """The title of a row. Tables in circulation number repeated titles: "How to Be Kind2"."""
    title = " ".join((text_field(row, "title") or text_field(row, "name")).split())
    if not title:
        return ""
    if not re.match(r"how to\b", title, re.IGNORECASE):
        title = f"How to {title}"
    return re.sub(r"(?<=[A-Za-z)])\d{1,3}$", "", title)


def _from_rows(title: str, rows: list[Record], pruned: Sequence[str]) -> _Article:
    first = rows[0]
    blocks = [text_field(first, "overview") or text_field(first, "intro") or text_field(first, "introduction")]
    label = ""
    dropped = {name.casefold() for name in pruned}
    for row in rows:
        section = text_field(row, "sectionLabel")
        if section.casefold() in dropped:
            continue
        if section and section != label:
            blocks.append(f"### {section}")
            label = section
        blocks.extend(_row_blocks(row, numbered="sectionLabel" in row))
    category = text_field(first, "category") or "uncategorised"
    body = prune("\n\n".join(block for block in blocks if block), pruned)
    return _Article(
        title, body, category, text_field(first, "url"), re.sub(r"^how to ", "", title, flags=re.IGNORECASE)
    )


def _row_blocks(row: Record, numbered: bool) -> Iterator[str]:
    """The text of one row: a whole article, one step with its headline, or a list of steps."""
    text = next((found for key in ("text", "body", "article", "content") if (found := text_field(row, key))), "")
    headline = " ".join(text_field(row, "headline").split())
    yield f"**{headline}** {text}".strip() if numbered and headline else re.sub(r"[ \t]*\n\s*", "\n\n", text)
    for key in ("methods", "parts", "sections", "steps"):
        entries: Any = row.get(key)
        for place, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
            yield from _entry_blocks(entry, place)


def _entry_blocks(entry: Any, place: int) -> Iterator[str]:
    if isinstance(entry, str):
        yield f"{place}. {entry.strip()}"
    elif isinstance(entry, dict):
        name = next((found for key in ("name", "title", "heading") if (found := text_field(entry, key))), "")
        steps = entry.get("steps")
        if isinstance(steps, list):
            if name:
                yield f"### {name}"
            for number, step in enumerate(steps, start=1):
                yield from _entry_blocks(step, number)
            return
        headline = name or text_field(entry, "headline") or text_field(entry, "summary")
        text = text_field(entry, "text") or text_field(entry, "description")
        joined = " ".join(part for part in (f"**{headline}**" if headline else "", text) if part)
        if joined:
            yield f"{place}. {joined}"
