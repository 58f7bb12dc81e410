"""Stack Exchange dumps: found rows are those an XML parser finds, filters say why, and hostile files are located."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from services.curation.filters import FIRST_PERSON, phrase_filter
from services.curation.funnel import Funnel, MalformedLimit, TooManyMalformed
from services.curation.html import prose_text
from services.curation.sources import rows
from services.curation.sources.dialogue import Dialogue
from services.curation.sources.exchanges import exchange_groups, group_of
from services.curation.sources.posts import index_posts
from services.curation.sources.quick_look import needles_of, surely_says
from services.curation.sources.stack_exchange import FIRST, LENGTH, REFERENCES, SCORE, TITLE, StackExchange
from tests.unit.curation.builders import HOST, LONG, answer, corpus_file, dump, question, read, removed, row_xml

POSTS = f"{HOST}/Posts.xml"
XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=40
)


def test_the_lists_have_the_sizes_of_the_paper() -> None:
    groups = list(exchange_groups().values())
    assert [groups.count(group) for group in ("stem", "other", "dropped")] == [75, 99, 5]
    assert group_of("meta.stackoverflow.com") == group_of("cooking.meta.stackexchange.com") == "dropped"
    assert group_of("brand-new.stackexchange.com") == "other"


def test_a_candidate_carries_title_text_and_attribution(tmp_path: Path) -> None:
    users = dump([{"Id": 7, "DisplayName": "Ann"}, {"Id": 8, "DisplayName": "Bo & Co"}], "users")
    posts = dump([question(1), answer(2, 1, 9), answer(3, 1, 15), answer(4, 1, 15)])
    files = [corpus_file(tmp_path, POSTS, posts), corpus_file(tmp_path, f"{HOST}/Users.xml", users)]
    [found], funnel = read(StackExchange(title_probability=1.0), *files)
    assert found.id == f"{HOST}-1"
    assert [turn.content for turn in found.messages] == ["How does a charge act at a distance?", LONG.strip()]
    assert (found.score, found.origin.row_id, found.stratum) == (15, "3", HOST)
    assert posts[found.origin.offset :].startswith(b'<row Id="3"')
    assert found.attribution.author == "Bo & Co (answer), Ann (question)"
    assert found.attribution.licence == "CC-BY-SA-3.0"
    assert found.attribution.url == f"https://{HOST}/a/3"
    assert funnel.left == 1


@pytest.mark.parametrize(
    ("created", "stated", "licence"),
    [
        ("2010-01-01T00:00:00.000", "", "CC-BY-SA-2.5"),
        ("2011-04-08T00:00:00.000", "", "CC-BY-SA-3.0"),
        ("2018-05-02T00:00:00.000", "", "CC-BY-SA-4.0"),
        ("2015-05-02T00:00:00.000", "CC BY-SA 4.0", "CC-BY-SA-4.0"),
    ],
)
def test_the_licence_is_stated_or_that_of_its_day(tmp_path: Path, created: str, stated: str, licence: str) -> None:
    extra = {"ContentLicense": stated} if stated else {}
    posts = dump([question(1, CreationDate=created, **extra), answer(2, 1, CreationDate=created, **extra)])
    [found], _ = read(StackExchange(), corpus_file(tmp_path, POSTS, posts))
    assert found.attribution.licence == licence


def revision(post: int, kind: int, day: str, **more: object) -> dict[str, object]:
    made = {
        "Id": post,
        "PostHistoryTypeId": kind,
        "PostId": post,
        "RevisionGUID": "8d2c",
        "CreationDate": f"{day}T10:00",
    }
    return made | {"UserId": 7, "Text": "CC BY-NC 1.0"} | more


@pytest.mark.parametrize(
    ("revisions", "licence"),
    [
        ([revision(2, 2, "2014-05-02", ContentLicense="CC BY-SA 3.0")], "CC-BY-SA-3.0"),
        ([revision(2, 2, "2014-05-02"), revision(2, 5, "2019-01-01")], "CC-BY-SA-3.0 AND CC-BY-SA-4.0"),
        ([revision(2, 8, "2014-05-02", ContentLicense="CC BY-SA 4.0")], "CC-BY-SA-3.0 AND CC-BY-SA-4.0"),
        ([revision(2, 24, "2019-01-01", ContentLicense="CC BY-SA 4.0")], "CC-BY-SA-3.0"),
        ([revision(n, 5, "2019-01-01") for n in (1, 2)], "CC-BY-SA-4.0"),
        (["  <row broken", revision(1 << 29, 5, "2019-01-01")], "CC-BY-SA-3.0"),
    ],
)
def test_an_edit_puts_a_post_under_the_licence_of_its_day(tmp_path: Path, revisions: list[Any], licence: str) -> None:
    files = [
        corpus_file(tmp_path, POSTS, dump([question(1), answer(2, 1)])),
        corpus_file(tmp_path, f"{HOST}/PostHistory.xml", dump(revisions, "posthistory")),
    ]
    [found], _ = read(StackExchange(), *files)
    assert found.attribution.licence == licence
    stated = dump([question(1, ContentLicense="CC BY-SA 2.5"), answer(2, 1, ContentLicense="CC BY-SA 2.5")])
    [found], _ = read(StackExchange(), corpus_file(tmp_path, POSTS, stated), files[1])
    assert found.attribution.licence == "CC-BY-SA-2.5"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"score": 9}, SCORE),
        ({"body": "<p>Too short.</p>"}, LENGTH),
        ({"body": f"<p>{LONG * 4}</p>"}, LENGTH),
        ({"body": f"<p>{LONG} I think so.</p>"}, FIRST),
        ({"body": f"<p>{LONG} That is <em>my</em> view.</p>"}, FIRST),
        ({"body": f"<p>{LONG} As mentioned, it falls.</p>"}, REFERENCES),
        ({"body": f"<p>{LONG} See the other answers.</p>"}, REFERENCES),
    ],
)
def test_each_filter_removes_and_says_why(tmp_path: Path, change: dict[str, object], step: str) -> None:
    posts = dump([question(1), answer(2, 1, **change)])  # type: ignore[arg-type]
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, posts))
    assert not found
    assert removed(funnel) == {step: 1}


@pytest.mark.parametrize(
    "title", ["Why?", "What does this error mean?", "And how is it done in this case?", "Electric field strength here"]
)
def test_a_title_must_explain_itself(tmp_path: Path, title: str) -> None:
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, dump([question(1, title), answer(2, 1)])))
    assert not found
    assert removed(funnel) == {TITLE: 1}


def test_words_in_code_and_parts_of_words_do_not_count(tmp_path: Path) -> None:
    body = f"<p>{LONG} The IO of Italy, mythical.</p><pre><code>for I in my_list: me = I\n</code></pre>"
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, dump([question(1), answer(2, 1, body=body)])))
    assert len(found) == 1, removed(funnel)


def test_unfiltered_takes_every_answered_question(tmp_path: Path) -> None:
    posts = dump([question(1, "x"), answer(2, 1, -3, "<p>I say no.</p>"), question(3)])
    found, funnel = read(StackExchange(filtered=False), corpus_file(tmp_path, POSTS, posts))
    assert [candidate.messages[-1].content for candidate in found] == ["I say no."]
    assert removed(funnel) == {SCORE: 1}


def test_both_kinds_of_prompt_are_drawn_and_draws_stay(tmp_path: Path) -> None:
    posts = dump(
        [post for place in range(40) for post in (question(2 * place + 1), answer(2 * place + 2, 2 * place + 1))]
    )
    file = corpus_file(tmp_path, POSTS, posts)
    prompts = [candidate.prompt() for candidate in read(StackExchange(seed=5), file)[0]]
    assert 5 < prompts.count("Please explain the law.") < 35
    assert prompts == [candidate.prompt() for candidate in read(StackExchange(seed=5), file)[0]]
    assert prompts != [candidate.prompt() for candidate in read(StackExchange(seed=6), file)[0]]


HOSTILE = [
    ('  <row Id="9" PostTypeId="2" ParentId="1" CreationDate="2014', "cut off"),
    ('<!DOCTYPE posts [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>', "document type"),
    (row_xml(answer(9, 1, 99)).replace("The field", "&bomb; field"), "entity"),
    (row_xml(answer(9, 1, 99)).replace('Score="99"', 'Score="99999999999"'), "Score"),
    (row_xml(answer(9, 1, 99)).replace("2014-05-02", "9999-99-99"), "CreationDate"),
    (row_xml(answer(9, 1, 99)).replace("The field", "&#x0; field"), "not a character"),
    (row_xml(answer(9, 1, 99)).replace(' OwnerUserId="', ' Score="3" OwnerUserId="'), "twice"),
    ("  <post>text</post>", "not a row"),
]


@pytest.mark.parametrize(("line", "reason"), HOSTILE)
def test_a_malformed_row_is_counted_located_and_skipped(tmp_path: Path, line: str, reason: str) -> None:
    data = dump([question(1), line, question(3), answer(4, 3)])
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, data))
    assert [candidate.id for candidate in found] == [f"{HOST}-3"]
    assert funnel.malformed_count >= 1
    where = data.index(line.strip().encode())
    assert any(reason in item.reason and abs(item.offset - where) < 80 for item in funnel.malformed), funnel.malformed
    with pytest.raises(TooManyMalformed, match=r"max_malformed"):
        read(StackExchange(), corpus_file(tmp_path, POSTS, data), max_malformed=0)


def test_invalid_utf8_and_a_truncated_file(tmp_path: Path) -> None:
    data = dump([question(1), answer(2, 1), question(3), answer(4, 3)])
    broken = data.replace(b"The field", b"The \xff field", 1)
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, broken))
    assert [candidate.id for candidate in found] == [f"{HOST}-3"]
    assert "invalid UTF-8" in funnel.malformed[0].reason
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, data[: data.rindex(b'Score="12"') + 60]))
    assert [candidate.id for candidate in found] == [f"{HOST}-1"]
    assert "cut off" in funnel.malformed[0].reason


def test_duplicate_ids_are_told_and_the_first_counts(tmp_path: Path) -> None:
    posts = dump(
        [question(1, "How does a first charge act?"), question(1, "How does a second charge act?"), answer(2, 1)]
    )
    [found], funnel = read(StackExchange(title_probability=1.0), corpus_file(tmp_path, POSTS, posts))
    assert found.prompt() == "How does a first charge act?"
    assert "second question with the id 1" in funnel.malformed[0].reason
    assert funnel.entered == 1


def test_attributes_in_another_order_and_unsorted_rows_are_read(tmp_path: Path) -> None:
    turned = dict(reversed(list(answer(2, 5).items())))
    posts = dump([turned, question(9), question(5)])
    [found], _ = read(StackExchange(), corpus_file(tmp_path, POSTS, posts))
    assert found.id == f"{HOST}-5"


def test_rows_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 700)
    posts = dump(
        [post for place in range(9) for post in (question(2 * place + 1), answer(2 * place + 2, 2 * place + 1))]
    )
    found, funnel = read(StackExchange(), corpus_file(tmp_path, POSTS, posts))
    assert len(found) == 9
    assert not funnel.malformed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(-20, 50), XML_TEXT), max_size=25),
    st.sampled_from([-1000000, 0, 5, 10, 100]),
)
def test_the_index_is_what_an_xml_parser_finds(
    tmp_path: Path, posts: list[tuple[bool, int, int, str]], least: int
) -> None:
    made = [
        question(place, text, Body=text) if asks else answer(place, parent, score, text)
        for place, (asks, parent, score, text) in enumerate(posts, start=1)
    ]
    file = corpus_file(tmp_path, POSTS, dump(made))
    limit = MalformedLimit(Funnel(), POSTS, 0)
    index = index_posts(file.path, least, limit)
    parsed = list(etree.parse(str(file.path)).getroot())
    assert list(index.questions.ids) == [int(row.get("Id")) for row in parsed if row.get("PostTypeId") == "1"]
    best: dict[int, tuple[int, int]] = {}
    for row in parsed:
        if row.get("PostTypeId") == "2" and int(row.get("Score")) >= least:
            rank = (int(row.get("Score")), -int(row.get("Id")))
            best[int(row.get("ParentId"))] = max(rank, best.get(int(row.get("ParentId")), rank))
    data = file.path.read_bytes()
    found = {}
    for parent in index.top:
        score, offset = index.top_answer(parent)
        found[parent] = (score, -int(re.match(rb'<row Id="(\d+)"', data[offset:])[1]))  # type: ignore[index]
    assert found == best


@given(XML_TEXT, XML_TEXT)
def test_decoded_attributes_are_what_an_xml_parser_decodes(title: str, body: str) -> None:
    line = row_xml({"Id": 1, "Title": title, "Body": body}).strip()
    assert rows.attributes(line.encode()) == dict(etree.fromstring(line).attrib)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    try:
        values = rows.attributes(b"<row " + data)
    except rows.MalformedRow:
        return
    assert all("\x00" not in name for name in values)


ROW_VALUES = st.dictionaries(
    st.sampled_from(
        ["Id", "PostId", "PostHistoryTypeId", "CreationDate", "ContentLicense", "UserId", "Text", "DisplayName"]
    ),
    st.sampled_from(
        ["1", "2", "-7", "99999999999999", "2014-05-02T10:00:00.000", "9999-99", "CC BY-SA 4.0", "", "@Bo é"]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["PostHistory", "Comments", "Users"]),
    st.lists(ROW_VALUES.map(row_xml).map(str.encode) | st.binary(max_size=80), max_size=8).map(b"\n".join),
)
def test_the_other_tables_of_a_site_may_hold_anything(tmp_path: Path, table: str, data: bytes) -> None:
    posts = corpus_file(tmp_path, POSTS, dump([question(1), answer(2, 1)]))
    other = corpus_file(tmp_path, f"{HOST}/{table}.xml", data)
    [found], _ = read(StackExchange(), posts, other)
    assert found.attribution.author
    assert found.attribution.licence.startswith("CC-BY-SA-") or table == "PostHistory"
    chains, _ = read(Dialogue("stack_exchange_comments", min_turns=1), posts, other)
    assert len(chains) <= 1


PIECES = [
    "I",
    " I ",
    "my ",
    " me.",
    "<p>",
    "</p>",
    "<code>",
    "</code>",
    "<pre>",
    "</pre>",
    '<a href="/my I ">',
    "</a>",
    "<script>",
    "</script>",
    '<img alt="x > I y">',
    "<!-- ",
    " -->",
    "IO",
    "&lt;I ",
    "\n",
    "word ",
    "’",
    "<b>",
    "</b>",
    "<svg>",
    "</svg>",
    '<a title="<p>',
    "<a title='",
    '">',
    "</code><code>",
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_what_a_quick_look_is_sure_of_the_exact_filter_says_too(html: str) -> None:
    body = escape(html, quote=True).replace("&#x27;", "'").replace("\n", "&#xA;").encode()
    if surely_says(body, needles_of(FIRST_PERSON)):
        assert phrase_filter(FIRST_PERSON).find(prose_text(html)), html
