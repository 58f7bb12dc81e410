"""HTML of posts and articles as readers see it: parsed with bounds, and its text without a tree where that is safe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from selectolax.lexbor import LexborHTMLParser, LexborNode

# Elements whose content is not text for readers.
_DROPPED_NAMES = (
    "script style template iframe object embed svg math noscript noembed noframes canvas audio video img "
    "picture source head title textarea select option button input form"
)
DROPPED = frozenset(_DROPPED_NAMES.split())
MAX_HTML_CHARACTERS = 4_000_000
# Building a tree is quadratic in the depth of nesting; a real page has about ten thousand tags.
MAX_TAGS = 30_000

# A tag as sanitised community HTML writes it. What this removes completely needs no tree to be measured.
_SIMPLE_TAG = re.compile(
    r"</?(?:p|a|em|strong|code|pre|ul|ol|li|blockquote|h[1-6]|img|br|hr|sup|sub|b|i|s|del|kbd|div|span)"
    r'(?: [a-z-]+="[^"<>]*")* ?/?>'
)
_SIMPLE_CODE = re.compile(r"<(pre|code)(?: [^<>]*)?>.*?</\1>", re.DOTALL)


class UnreadableHtml(ValueError):
    """HTML that no reader wrote: too large, or with too many tags."""


def parse_page(html: str) -> LexborHTMLParser:
    """The tree of a page. Raises UnreadableHtml."""
    if len(html) > MAX_HTML_CHARACTERS:
        raise UnreadableHtml(f"HTML of {len(html)} characters; at most {MAX_HTML_CHARACTERS} are read")
    tags = html.count("<")
    if tags > MAX_TAGS:
        raise UnreadableHtml(f"HTML with {tags} tags; at most {MAX_TAGS} are read")
    return LexborHTMLParser(html)


def plain_text(html: str) -> str:
    """The text a reader sees, runs of white space made one space. What length limits measure.

    Sanitised HTML is measured without a tree; anything unusual goes through the parser, with the same result.
    """
    stripped = _SIMPLE_TAG.sub(" ", html)
    if "<" in stripped:
        return _tree_text(html, skip=DROPPED)
    return " ".join(unescape(stripped).split() if "&" in stripped else stripped.split())


def prose_text(html: str) -> str:
    """As plain_text, without code: what a writer says, not what a program does."""
    if "<" in _SIMPLE_TAG.sub("", html):
        return _tree_text(html, skip=DROPPED | {"pre", "code"})
    return plain_text(_SIMPLE_CODE.sub(" ", html))


def _tree_text(html: str, skip: frozenset[str]) -> str:
    body = parse_page(html).body
    return "" if body is None else " ".join(" ".join(texts(body, skip)).split())


def texts(root: LexborNode, skip: frozenset[str] = DROPPED) -> Iterator[str]:
    """Text nodes in document order, with a stack of our own: hostile nesting must not reach Python's limit."""
    stack: list[LexborNode] = [root]
    while stack:
        node = stack.pop()
        if node.tag == "-text":
            yield node.text_content or ""
        elif node.tag not in skip:
            stack.extend(reversed(list(children(node))))


def children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next
