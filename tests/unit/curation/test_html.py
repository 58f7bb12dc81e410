"""The HTML cleaner: no tag survives, code survives byte-exact, cleaning what was cleaned changes nothing."""

from __future__ import annotations

import re
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from services.curation.html import MAX_TAGS, UnreadableHtml, plain_text, prose_text
from services.curation.markdown import to_markdown

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)
SAFE_WORDS = st.from_regex(r"[A-Za-z]{1,9}[,.]?", fullmatch=True)
CODE = st.text(st.characters(codec="ascii", exclude_characters="\r\x00"), min_size=1, max_size=60).filter(
    lambda code: bool(code.strip()) and not code.startswith("\n") and "\x0b" not in code
)


def blocks(words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Fragments as community sites write them, with escaped text and odd nesting."""
    text = st.lists(words, min_size=1, max_size=6).map(lambda found: escape(" ".join(found)))
    inline = st.one_of(
        text,
        text.map(lambda t: f"<strong>{t}</strong>"),
        text.map(lambda t: f'<a href="https://example.org/?a=1&amp;b=2" rel="nofollow">{t}</a>'),
        st.just('<img src="x.png" alt="my picture">'),
        text.map(lambda t: f"<code>{t}</code>"),
    )
    paragraph = st.lists(inline, min_size=1, max_size=4).map(lambda parts: f"<p>{' '.join(parts)}</p>")
    return st.recursive(
        paragraph,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(
                lambda items: "<ul>" + "".join(f"<li>{i}</li>" for i in items) + "</ul>"
            ),
            st.lists(inner, min_size=1, max_size=3).map(
                lambda items: "<ol>" + "".join(f"<li>{i}</li>" for i in items) + "</ol>"
            ),
            inner.map(lambda body: f"<blockquote>{body}</blockquote>"),
            st.lists(inner, min_size=1, max_size=3).map("\n".join),
        ),
        max_leaves=8,
    )


def outside_code(markdown: str) -> str:
    """Markdown without its code spans and blocks."""
    return re.sub(r"(?s)(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown)


@given(st.text(max_size=300))
def test_no_tag_survives_any_input(html: str) -> None:
    assert not re.search(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>`]*)?/?>", outside_code(to_markdown(html)))


@given(
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<b", ">", "<script>", "</script>", "x<y", "&lt;i&gt;", "`", "<!--", "-->", "<pre>", "a"]
        ),
        max_size=30,
    )
)
def test_no_script_and_no_tag_survives_broken_markup(pieces: list[str]) -> None:
    cleaned = outside_code(to_markdown("".join(pieces)))
    assert "<script" not in cleaned
    assert not re.search(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>`]*)?/?>", cleaned)


@given(CODE)
def test_a_code_block_survives_byte_for_byte(code: str) -> None:
    markdown = to_markdown(f"<p>before</p><pre><code>{escape(code)}</code></pre><p>after</p>")
    fence = re.search(r"(?s)\n\n(`{3,})\n(.*)\n\1\n\nafter$", markdown)
    assert fence
    assert fence[2] == code.removesuffix("\n")


@given(CODE)
def test_a_code_block_survives_inside_a_list(code: str) -> None:
    markdown = to_markdown(f"<ul><li>item<pre><code>{escape(code)}</code></pre></li></ul>")
    lines = [line[2:] for line in markdown.split("\n")]
    body = "\n".join(lines[3:-1])
    assert body == code.removesuffix("\n")


@given(CODE)
def test_a_code_block_survives_inside_a_quotation(code: str) -> None:
    markdown = to_markdown(f"<blockquote><p>so</p><pre><code>{escape(code)}</code></pre></blockquote>")
    lines = [line[2:] for line in markdown.split("\n")]
    assert "\n".join(lines[3:-1]) == code.removesuffix("\n")


@given(blocks(SAFE_WORDS))
def test_cleaning_the_rendered_markdown_changes_nothing(html: str) -> None:
    once = to_markdown(html)
    rendered = MarkdownIt("commonmark").render(once)
    assert to_markdown(rendered) == once


@given(blocks(WORDS))
def test_the_fast_text_is_the_text_of_the_tree(html: str) -> None:
    # An unknown element sends the same content through the parser.
    assert plain_text(html) == plain_text(f"<u>{html}</u>")
    assert prose_text(html) == prose_text(f"<u>{html}</u>")


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>One <em>two</em> <strong>three</strong></p>", "One *two* **three**"),
        ('<p>See <a href="https://x.org">the page</a>.</p>', "See the page."),
        ('<p>See <a href="https://x.org">https://x.org</a> too</p>', "See too"),
        ('<p>A <img src="x" alt="my dog"> here</p>', "A here"),
        ("<ol start=3><li>c<ul><li>inner</li></ul></li><li>d</li></ol>", "3. c\n   - inner\n4. d"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<h2>Title <b>x</b></h2><p>t</p>", "## Title **x**\n\nt"),
        ("<p>use <code>a`b</code></p>", "use ``a`b``"),
        ("<p>the &lt;b&gt; tag and 1 &lt; 2</p>", "the `<b>` tag and 1 < 2"),
        (
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x|y</td></tr></table>",
            "| a | b |\n| --- | --- |\n| 1 | x\\|y |",
        ),
        ("<script>alert('I')</script><style>p{}</style><p>text</p>", "text"),
        ("<p>line<br>next</p>", "line\nnext"),
        # A list that leaves nothing is no list that the next one goes on with.
        ('<ul><li><img src="x" alt="my dog"></li></ul><ul><li>A</li></ul>', "- A"),
        ('<p>so</p><ul><li><img src="x"></li></ul><ul><li>A</li></ul>', "so\n\n- A"),
        ("<ul><li>A</li></ul><ul><li></li></ul><ul><li>B</li></ul>", "- A\n- B"),
        ("<ol><ul><li>x</li></ul></ol><ol start=3><li>A</li></ol>", "    - x\n3. A"),
        (
            "<ol start=9><li>A</li></ol><ol><li>B<pre><code>1. c</code></pre></li></ol>",
            "9. A\n10. B\n\n    ```\n    1. c\n    ```",
        ),
        ("", ""),
    ],
)
def test_what_is_kept_and_what_is_dropped(html: str, markdown: str) -> None:
    assert to_markdown(html) == markdown


def test_hostile_nesting_is_refused_or_flattened() -> None:
    assert to_markdown("<div>" * 2000 + "deep" + "</div>" * 2000) == "deep"
    assert to_markdown("<ul><li>" * 500 + "deep") != ""
    with pytest.raises(UnreadableHtml, match="tags"):
        to_markdown("<b>" * (MAX_TAGS + 1))


def test_prose_leaves_code_out() -> None:
    html = "<p>we write <code>for I in x</code></p><pre><code>my = I\n</code></pre><p>done</p>"
    assert prose_text(html) == "we write done"
    assert "my = I" in plain_text(html)
