"""Hostile text made safe to look at: Markdown from dumps and models to sanitised HTML."""

from __future__ import annotations

import html
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# A page never renders more of one text than this many characters as Markdown; the rest is shown plain.
MAX_MARKDOWN = 20_000
# Finding the links of a text takes time that grows with the square of these: more of them are shown plain.
MAX_BRACKETS = 2_000
MAX_HIGHLIGHT = 20_000

TAGS = {
    "p", "br", "hr", "blockquote", "pre", "code", "span", "em", "strong", "s", "a",
    "ul", "ol", "li", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),
    "a": {"href"},
    "span": {"class"},
    "code": {"class"},
    "ol": {"start"},
    "pre": {"tabindex"},
}
_FORMATTER = HtmlFormatter(nowrap=True)


def _highlight(code: str, language: str, _attributes: str) -> str:
    if not language or len(code) > MAX_HIGHLIGHT:
        return html.escape(code)
    try:
        lexer = get_lexer_by_name(language[:40], stripnl=False)
    except ClassNotFound:
        return html.escape(code)
    return str(highlight(code, lexer, _FORMATTER))


# Images are off: a remote picture would tell its host who reads, and when.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False, "highlight": _highlight, "maxNesting": 30})
_MARKDOWN.enable(["table", "strikethrough"]).disable("image")


@lru_cache(maxsize=512)
def markdown(text: str) -> Markup:
    """Safe HTML of a Markdown text, with code highlighted by CSS classes.

    Raw HTML in the text is shown as text. Headings begin at h3, so that the page's own outline stays whole.
    """
    shown, rest = text[:MAX_MARKDOWN], text[MAX_MARKDOWN:]
    if shown.count("[") > MAX_BRACKETS:
        shown, rest = "", text
    tokens = _MARKDOWN.parse(shown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    rendered = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    # Scrolling code must be reachable by keyboard.
    rendered = rendered.replace("<pre>", '<pre tabindex="0">')
    clean = nh3.clean(
        rendered,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    if rest:
        clean += f'<pre tabindex="0">{html.escape(rest)}</pre>'
    return Markup(clean)  # noqa: S704 - nh3 has just cleaned it


def safe_link(url: str) -> str:
    """The URL if a person may be sent there, else an empty string."""
    return url if url.startswith(("https://", "http://")) and len(url) <= 2000 else ""
