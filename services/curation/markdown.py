"""HTML of posts and articles to Markdown.

Keeps code (byte-exact), inline code, nested lists, quotes, headings, emphasis and tables; drops links (their text
stays, unless it is an address), images, scripts and every other tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from selectolax.lexbor import LexborNode

from services.curation.html import DROPPED, children, parse_page, texts

_BLOCK_NAMES = (
    "address article aside blockquote center dd details dialog div dl dt fieldset figcaption figure footer h1 "
    "h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody td tfoot th thead tr ul body "
    "html"
)
BLOCKS = frozenset(_BLOCK_NAMES.split())
EMPHASIS = {"strong": "**", "b": "**", "em": "*", "i": "*"}
# Deeper nesting than any person writes; below it only the text is kept.
MAX_DEPTH = 48

_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_TAG_LIKE = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>`]*)?/?>|<[!?][^<>`]*>")
_BACKTICKS = re.compile(r"`+")
_ADDRESS = re.compile(r"\s*(?:https?://|www\.)\S+\s*")


def to_markdown(html: str) -> str:
    """Markdown of an HTML fragment or page. Empty if it holds no text."""
    body = parse_page(html).body
    return "" if body is None else node_to_markdown(body)


def node_to_markdown(node: LexborNode) -> str:
    """Markdown of the content of one element."""
    return "\n\n".join(_blocks(node, 0))


def _blocks(node: LexborNode, depth: int) -> list[str]:
    """The blocks inside `node`, in order. Inline content between blocks makes a paragraph."""
    blocks: list[str] = []
    inline: list[str] = []
    last_list = ("", 0)

    def close_paragraph() -> None:
        paragraph = _tidy_inline(_join_inline(inline))
        inline.clear()
        if paragraph:
            blocks.append(paragraph)

    for child in children(node):
        tag = child.tag or ""
        if tag not in BLOCKS:
            if _holds_block(child, depth):
                close_paragraph()
                blocks.extend(_blocks(child, depth + 1))
            else:
                inline.append(_inline(child, depth))
            continue
        close_paragraph()
        # Markdown reads two lists of one kind in a row as one, so that is what is written.
        goes_on = last_list == (tag, len(blocks))
        made = _block(child, tag, depth + 1, _next_number(blocks[-1]) if goes_on and tag == "ol" else None)
        is_list = bool(made) and tag in ("ul", "ol")
        if is_list and goes_on:
            blocks[-1] += "\n" + made.pop(0)
        blocks.extend(made)
        if is_list:
            last_list = (tag, len(blocks))
    close_paragraph()
    return blocks


def _holds_block(node: LexborNode, depth: int) -> bool:
    """Whether an inline element wraps blocks, as <a><div>…</div></a> does."""
    if node.tag in DROPPED or node.tag in ("-text", "code") or node.child is None or depth > MAX_DEPTH:
        return False
    return any(child.tag in BLOCKS or _holds_block(child, depth + 1) for child in children(node))


def _block(node: LexborNode, tag: str, depth: int, number: int | None = None) -> list[str]:
    if depth > MAX_DEPTH:
        text = _tidy_inline(_escape_prose(" ".join(texts(node))))
        return [text] if text else []
    if tag == "pre":
        return _fence(_raw_text(node))
    if tag in ("ul", "ol"):
        return _list(node, ordered=tag == "ol", depth=depth, number=number)
    if tag == "blockquote":
        quoted = "\n\n".join(_blocks(node, depth))
        return ["\n".join(f"> {line}" if line else ">" for line in quoted.split("\n"))] if quoted else []
    if tag == "hr":
        return ["---"]
    if tag == "table":
        return _table(node, depth)
    if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        heading = " ".join(" ".join(_blocks(node, depth)).split())
        return [f"{'#' * int(tag[1])} {heading}"] if heading else []
    return _blocks(node, depth)


def _list(node: LexborNode, ordered: bool, depth: int, number: int | None = None) -> list[str]:
    """`number` is the first item's where the list goes on with another; else the list says it itself."""
    lines: list[str] = []
    number = _start_number(node) if number is None else number
    for item in children(node):
        if item.tag in ("ul", "ol"):  # a nested list outside an item, as old editors write
            blocks = _list(item, item.tag == "ol", depth + 1) if depth < MAX_DEPTH else []
            lines.extend(f"    {line}" if line else "" for block in blocks for line in block.split("\n"))
            continue
        if item.tag != "li":
            continue
        blocks = _block(item, "li", depth + 1)
        if not blocks:
            continue
        marker = f"{number}. " if ordered else "- "
        number += 1
        content = _join_item(blocks)
        indent = " " * len(marker)
        first, *rest = content.split("\n")
        lines.append(marker + first)
        lines.extend(indent + line if line else "" for line in rest)
    return ["\n".join(lines)] if lines else []


def _join_item(blocks: list[str]) -> str:
    """A nested list follows its item's text directly; other blocks keep a blank line."""
    content = blocks[0]
    for block in blocks[1:]:
        content += ("\n" if re.match(r"(?:- |\d+\. )", block) else "\n\n") + block
    return content


def _next_number(written: str) -> int | None:
    """The number after the last of a list that has been written; None for one that holds but a nested list."""
    # What lies within items is indented.
    numbers = re.findall(r"(?m)^(\d+)\. ", written)
    return int(numbers[-1]) + 1 if numbers else None


def _start_number(node: LexborNode) -> int:
    start = node.attributes.get("start") or ""
    return int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 1


def _table(node: LexborNode, depth: int) -> list[str]:
    rows: list[list[str]] = []
    for row in node.css("tr"):
        cells = [" ".join(" ".join(_blocks(cell, depth + 1)).split()).replace("|", "\\|") for cell in row.css("td, th")]
        if any(cells):
            rows.append(cells)
    if not rows:
        return []
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    return ["\n".join(lines)]


def _inline(node: LexborNode, depth: int) -> str:
    tag = node.tag or ""
    if tag == "-text":
        return _escape_prose(_SPACES.sub(" ", node.text_content or ""))
    if tag in DROPPED or tag.startswith(("-", "!", "#")):
        return ""
    if tag == "br":
        return "\n"
    if tag == "code":
        return _code_span(_raw_text(node))
    if depth > MAX_DEPTH:
        return _escape_prose(_SPACES.sub(" ", node.text(deep=True) or ""))
    content = _join_inline(_inline(child, depth + 1) for child in children(node))
    if tag == "a" and _ADDRESS.fullmatch(content):
        return ""
    mark = EMPHASIS.get(tag, "")
    core = content.strip()
    if not mark or not core or core.startswith("*") or core.endswith("*"):
        return content
    lead, tail = content[: len(content) - len(content.lstrip())], content[len(content.rstrip()) :]
    return f"{lead}{mark}{core}{mark}{tail}"


def _raw_text(node: LexborNode) -> str:
    """The text content of code exactly as written; images and scripts inside it have none."""
    return "".join(texts(node))


def _escape_prose(text: str) -> str:
    """Show text that looks like a tag as code, so that no tag survives, and keep stray backticks from opening code."""
    if "`" in text:
        text = text.replace("`", "\\`")
    return _TAG_LIKE.sub(_as_code, text) if "<" in text else text


def _as_code(match: re.Match[str]) -> str:
    # After a backslash the backtick would be a literal one, beside a backtick a longer run.
    text = match.string
    before = " " if text[max(0, match.start() - 1) : match.start()] in ("\\", "`") else ""
    after = " " if text[match.end() : match.end() + 1] in ("\\", "`") else ""
    return f"{before}`{match.group()}`{after}"


def _join_inline(pieces: Iterable[str]) -> str:
    """Inline pieces in a row: one space where two meet, and no backticks of two spans beside each other."""
    joined = ""
    for piece in pieces:
        if joined.endswith((" ", "\n")):
            piece = piece.lstrip(" ")
        elif joined.endswith(("`", "\\")) and piece.startswith("`"):
            joined += " "
        joined += piece
    return joined


def _longest_backticks(text: str) -> int:
    return max((len(match.group()) for match in _BACKTICKS.finditer(text)), default=0)


def _code_span(code: str) -> str:
    if not code.strip():
        return code
    ticks = "`" * (_longest_backticks(code) + 1)
    pad = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{ticks}{pad}{code}{pad}{ticks}"


def _fence(code: str) -> list[str]:
    if not code.strip():
        return []
    ticks = "`" * max(3, _longest_backticks(code) + 1)
    newline = "" if code.endswith("\n") else "\n"
    return [f"{ticks}\n{code}{newline}{ticks}"]


def _tidy_inline(text: str) -> str:
    """One paragraph: no blank line inside, no space at the ends of its lines. Code spans keep their spaces."""
    lines = [line.strip(" \t") for line in text.strip().split("\n")]
    return "\n".join(line for line in lines if line)
