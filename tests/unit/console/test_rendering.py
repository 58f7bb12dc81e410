"""Texts from dumps and models are hostile: nothing in them may run, load or leave its place."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.rendering import ATTRIBUTES, MAX_BRACKETS, MAX_MARKDOWN, TAGS, markdown, safe_link

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "<a href='javascript:alert(1)'>x</a>",
    "![x](https://tracker.example/pixel.png)",
    "<iframe src=//evil.example></iframe>",
    "<svg/onload=alert(1)>",
    "`<script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\ncode\n```',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "[x](https://a.example \"onmouseover='alert(1)'\")",
    "<style>*{display:none}</style>",
    "<form action=https://evil.example><input></form>",
    "| <script> | b |\n|-|-|\n| 1 | <img onerror=x> |",
    "> " * 200 + "deep",
    "[" * 500 + "x",
]


class Seen(HTMLParser):
    """Which tags and attributes a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(html: str) -> Seen:
    seen = Seen(html)
    assert seen.tags <= TAGS
    for tag, name, value in seen.attributes:
        assert name in ATTRIBUTES.get(tag, set()) | {"rel"}, (tag, name)
        if name == "href":
            assert value.split(":")[0].lower() in ("http", "https", "mailto") or ":" not in value
    return seen


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_harmless(text: str) -> None:
    check(markdown(text))


@given(st.text(max_size=400))
def test_any_text_is_harmless(text: str) -> None:
    check(markdown(text))


@given(
    st.lists(st.sampled_from([*HOSTILE, "\n", "**", "`", "<", ">", '"', "```\n", "- ", "\u202e", "&lt;"]), max_size=12)
)
def test_any_mixture_of_hostile_pieces_is_harmless(pieces: list[str]) -> None:
    check(markdown("".join(pieces)))


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="`\r\x00", exclude_categories=("Cs", "Cc")), max_size=200)
)
def test_code_keeps_its_characters(code: str) -> None:
    for language in ("", "python", "no-such-language"):
        seen = check(markdown(f"````{language}\n{code}\n````"))
        assert "".join(seen.words).rstrip("\n") == code.rstrip("\n")


def test_code_is_coloured_by_classes_alone() -> None:
    html = markdown("```python\ndef f(): return 'x'\n```")
    assert '<span class="k">def</span>' in html
    assert "style=" not in html


def test_headings_stay_below_those_of_the_page() -> None:
    html = markdown("# One\n\n###### Six")
    assert "<h3>" in html
    assert "<h1" not in html
    assert "<h6>" in html


def test_links_give_nothing_away() -> None:
    assert 'rel="noopener noreferrer nofollow"' in markdown("[a](https://a.example)")


def test_a_very_long_text_is_whole_and_bounded_in_work() -> None:
    text = "*a* " * MAX_MARKDOWN
    html = markdown(text)
    assert html.count("<em>") <= MAX_MARKDOWN
    assert len("".join(Seen(html).words)) >= len(text) - 3 * html.count("<em>")


def test_a_text_made_to_cost_much_is_shown_plain() -> None:
    text = "[" * (MAX_BRACKETS + 1) + "*a*"
    assert markdown(text) == f'<pre tabindex="0">{text}</pre>'
    assert "<em>" in markdown("[" * MAX_BRACKETS + " *a*")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil", "ftp://x", "", "https://" + "a" * 2000])
def test_links_that_are_not_shown(url: str) -> None:
    assert safe_link(url) == ""
