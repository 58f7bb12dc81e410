"""Every word of the interface goes through the catalogue, and both languages have it."""

from __future__ import annotations

import re
import string

import pytest

from services.console.catalogue import LOCALES, catalogue, choose_locale, term, translator
from services.console.views import FOLDER
from services.curation import build, pool, selection
from services.curation.sources import (
    authored,
    dialogue,
    existing,
    natural_instructions,
    reddit,
    stack_exchange,
    wikihow,
)
from services.curation.style import style_report
from services.shared.records import Turn

TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))
SCRIPTS = sorted((FOLDER / "static").glob("*.js"))
JINJA = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
KEY = re.compile(r"""\bt\(\s*["']([\w.-]+)["']\s*([+~)]|,)?""")
SPOKEN_ATTRIBUTES = re.compile(r"""\b(?:aria-label|title|placeholder|alt)="([^"]*)\"""")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_with_the_same_placeholders() -> None:
    english, korean = catalogue("en"), catalogue("ko")
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert text.strip(), key
        assert korean[key].strip(), key
        assert placeholders(text) == placeholders(korean[key]), key


def test_korean_is_korean() -> None:
    """A text that is the same in both languages is a name, a number or a form of address, never a sentence."""
    english, korean = catalogue("en"), catalogue("ko")
    same = {key for key in english if english[key] == korean[key]}
    assert all(len(english[key].split()) <= 2 for key in same), same
    hangul = re.compile("[가-힣]")
    assert all(hangul.search(korean[key]) for key in korean.keys() - same)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_words_of_their_own(template: object) -> None:
    source = template.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    for spoken in SPOKEN_ATTRIBUTES.findall(source):
        assert not re.search(r"[^\W\d_]{2,}", JINJA.sub("", spoken)), spoken
    text = re.sub(r"<(script|style)\b.*?</\1>", "", JINJA.sub("", source), flags=re.DOTALL)
    words = re.findall(r"[^\W\d_]{2,}", re.sub(r"<[^>]*>", " ", text))
    # The names of keys are the same in every language, and "n=" is mathematics.
    assert [word for word in words if word not in ("Enter", "Esc")] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_hold_no_words_of_their_own(script: object) -> None:
    source = script.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert not re.search(r"(?:textContent|ariaLabel|innerText)\s*=\s*[\"'`][^\"'`]*[^\W\d_]{2,}", source)
    assert not re.search(r"notice\([\"'`]", source)


def test_every_key_that_pages_name_exists() -> None:
    english = catalogue("en")
    sources = [path.read_text(encoding="utf-8") for path in [*TEMPLATES, *FOLDER.rglob("*.py")]]
    named = [(key, end) for source in sources for key, end in KEY.findall(source)]
    assert len(named) > 200
    for key, end in named:
        if end in "+~" and end:
            assert any(known.startswith(key) for known in english), key
        else:
            assert key in english, key


def test_no_key_is_left_over() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in [*TEMPLATES, *FOLDER.rglob("*.py")])
    prefixes = tuple(key for key, end in KEY.findall(sources) if end and end in "+~")
    dynamic = (*prefixes, "error.", "run.curve.", "filter.", "style.")
    unused = [key for key in catalogue("en") if f'"{key}"' not in sources and f"'{key}'" not in sources]
    assert [key for key in unused if not key.startswith(dynamic)] == []


@pytest.mark.parametrize(
    ("cookie", "header", "expected"),
    [
        ("ko", "en-US", "ko"),
        (None, "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        (None, "de-DE, en;q=0.5", "en"),
        ("xx", "", "en"),
        (None, ",;;q=,", "en"),
    ],
)
def test_locale(cookie: str | None, header: str, expected: str) -> None:
    assert choose_locale(cookie, header) == expected
    assert expected in LOCALES


FILTERS = (
    pool.PII, selection.HELD_OUT, build.DUPLICATE, build.BENCHMARK, build.REVIEW, authored.GROUP, authored.TAG,
    dialogue.TURNS, existing.UNANSWERED, natural_instructions.CATEGORY, natural_instructions.LANGUAGE,
    natural_instructions.INSTANCES, reddit.SCORE, reddit.DELETED, reddit.SELF_CONTAINED, reddit.REPLY, reddit.ADULT,
    stack_exchange.SCORE, stack_exchange.FIRST, stack_exchange.LENGTH, stack_exchange.REFERENCES, stack_exchange.TITLE,
    wikihow.BODY, wikihow.TITLE, "malformed", "duplicate id",
)  # fmt: skip
BADLY_WRITTEN = (
    Turn(role="user", content="Why is bread sour? " * 120),
    Turn(role="assistant", content="Sure! As an AI I love it!!! Yes!"),
)


def test_every_filter_has_a_word_in_both_languages() -> None:
    korean = translator("ko")
    assert [name for name in FILTERS if term(korean, "filter", name) == name] == []
    assert term(korean, "filter", "a filter of tomorrow") == "a filter of tomorrow"


def test_every_style_remark_has_a_word_in_both_languages() -> None:
    rules = {remark.rule for remark in style_report(BADLY_WRITTEN, ["refusal"]).remarks}
    assert rules == {key.removeprefix("style.") for key in catalogue("en") if key.startswith("style.")}


def test_an_unknown_key_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        translator("en")("no.such.key")
