"""Peers of the Stack Exchange parser: lxml alone, and the pipeline that one would write with it in an afternoon."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bs4 import BeautifulSoup
from lxml import etree, html

from services.curation.filters import CROSS_REFERENCES, FIRST_PERSON, title_problem

MIN_SCORE, MIN_CHARACTERS, MAX_CHARACTERS = 10, 1200, 4096
DROPPED = ("img", "script", "style")


def iterate(path: Path) -> int:
    """lxml.iterparse alone, with the usual clearing of what was read; no attribute is looked at."""
    return sum(1 for _ in _rows(path))


def _rows(path: Path) -> Iterator[etree._Element]:
    for _, row in etree.iterparse(str(path), tag="row"):
        yield row
        row.clear()
        while row.getprevious() is not None:
            del row.getparent()[0]


def with_beautiful_soup(text: str) -> tuple[str, str]:
    """(text, prose without code) by BeautifulSoup on lxml."""
    soup = BeautifulSoup(text, "lxml")
    for tag in soup(DROPPED):
        tag.decompose()
    whole = soup.get_text(" ")
    for tag in soup(["pre", "code"]):
        tag.decompose()
    return whole, soup.get_text(" ")


def with_lxml(text: str) -> tuple[str, str]:
    """(text, prose without code) by lxml.html."""
    root = html.fragment_fromstring(text, create_parent="div")
    etree.strip_elements(root, *DROPPED, with_tail=False)
    whole = " ".join(root.itertext())
    etree.strip_elements(root, "pre", "code", with_tail=False)
    return whole, " ".join(root.itertext())


def pipeline(path: Path, clean: Callable[[str], tuple[str, str]]) -> dict[int, str]:
    """The texts of the top answers that pass every filter of the paper, by the ids of their questions."""
    questions: dict[int, tuple[str, str]] = {}
    best: dict[int, tuple[int, str]] = {}
    for row in _rows(path):
        kind = row.get("PostTypeId")
        if kind == "1":
            questions[int(row.get("Id"))] = (row.get("Title"), row.get("Body"))
        elif kind == "2":
            parent, score = int(row.get("ParentId")), int(row.get("Score"))
            if parent not in best or score > best[parent][0]:
                best[parent] = (score, row.get("Body"))
    first_person, references = _pattern(FIRST_PERSON), _pattern(CROSS_REFERENCES)
    kept = {}
    for question, (score, body) in best.items():
        if score < MIN_SCORE or question not in questions:
            continue
        text, prose = clean(body)
        if not MIN_CHARACTERS <= len(" ".join(text.split())) <= MAX_CHARACTERS:
            continue
        if first_person.search(prose) or references.search(prose):
            continue
        title, description = questions[question]
        if title_problem(title) is None:
            clean(description)
            kept[question] = text
    return kept


def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    folded = [f"(?-i:{re.escape(p)})" if p != p.lower() else re.escape(p) for p in phrases]
    whole = "|".join(folded).replace("'", "['\u2019]").replace(r"\ ", r"\s+")
    return re.compile(rf"(?<!\w)(?:{whole})(?!\w)|['\u2019]s\s+answer(?!\w)", re.IGNORECASE)
