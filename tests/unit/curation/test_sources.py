"""wikiHow, Reddit, Super-NI, authored, dialogues and existing sets: what is taken, what is refused, nothing crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.curation.sources.authored import Authored
from services.curation.sources.conversations import NotAConversation, format_of, turns_of
from services.curation.sources.dialogue import Dialogue
from services.curation.sources.existing import Existing
from services.curation.sources.natural_instructions import NaturalInstructions
from services.curation.sources.reddit import Reddit
from services.curation.sources.source import Source
from services.curation.sources.wikihow import Wikihow
from tests.unit.curation.builders import HOST, LONG, answer, corpus_file, dump, json_lines, question, read, removed

STORY = "It was raining when she opened the door and found nobody there. " * 10
ARTICLE = f"""<html><head><title>x</title><link rel="canonical" href="https://www.wikihow.com/Peel-an-Egg"></head><body>
<ul id="breadcrumb"><li><a>Categories</a></li><li><a>Food and Entertaining</a></li><li><a>Eggs</a></li></ul>
<h1>How to Peel an Egg</h1>
<div id="intro" class="section"><div id="byline_info"></div><p>This article shows you how. {LONG}</p></div>
<div class="section steps"><h3><div class="altblock">Part 1</div><span class="mw-headline">Cooling</span></h3>
<ol><li><div class="step_num">1</div><div class="step"><b>Cool it.</b> In water.<sup class="reference">[1]</sup>
<ul><li>Ice helps.</li></ul></div></li></ol></div>
<div class="section tips"><h2><span class="mw-headline">Tips</span></h2><ul><li>Old eggs peel better.</li></ul></div>
<div class="section relatedwikihows"><h2>Related wikiHows</h2></div></body></html>"""


def test_a_wikihow_page(tmp_path: Path) -> None:
    [found], _ = read(Wikihow(), corpus_file(tmp_path, "egg.html", ARTICLE.encode()))
    assert found.prompt() == "How to Peel an Egg?"
    assert found.stratum == "Food and Entertaining"
    body = found.messages[1].content
    assert body.startswith("The following answer shows you how.")
    assert "### Cooling\n\n1. **Cool it.** In water.\n   - Ice helps." in body
    assert "Old eggs" not in body
    assert "Related" not in body
    assert found.attribution.url == "https://www.wikihow.com/Peel-an-Egg"
    [with_tips], _ = read(Wikihow(pruned_sections=("Warnings",)), corpus_file(tmp_path, "egg.html", ARTICLE.encode()))
    assert "Old eggs" in with_tips.messages[1].content


def test_wikihow_tables(tmp_path: Path) -> None:
    rows = "overview,headline,text,sectionLabel,title\n" + "".join(
        f'"{LONG}","Cool it {n}.","In cold water.","{section}","How to Peel an Egg1"\n'
        for n, section in ((1, "Cooling"), (2, "Tips"))
    )
    [found], _ = read(Wikihow(), corpus_file(tmp_path, "wikihowSep.csv", rows.encode()))
    assert "### Cooling\n\n**Cool it 1.** In cold water." in found.messages[1].content
    assert "Cool it 2" not in found.messages[1].content
    record = {
        "title": "Peel an Egg",
        "intro": LONG,
        "category": "Food",
        "methods": [{"name": "Cool", "steps": ["In water."]}],
    }
    [found], _ = read(Wikihow(), corpus_file(tmp_path, "w.jsonl", json_lines([record])))
    assert found.messages[1].content.endswith("### Cool\n\n1. In water.")


def submission(name: str, **values: Any) -> dict[str, Any]:
    return {
        "id": name,
        "subreddit": "WritingPrompts",
        "title": "[WP] A door opens into yesterday.",
        "selftext": "",
        "score": 500,
        "author": "ann",
        "created_utc": 1400000000,
        "is_self": True,
        "permalink": f"/r/WritingPrompts/comments/{name}/x/",
    } | values


def comment(name: str, parent: str, **values: Any) -> dict[str, Any]:
    return {
        "id": name,
        "parent_id": f"t3_{parent}",
        "link_id": f"t3_{parent}",
        "body": STORY,
        "score": 10,
        "author": "bo",
        "created_utc": 1400000100,
        "subreddit": "WritingPrompts",
    } | values


def test_the_best_standing_reply_to_each_premise(tmp_path: Path) -> None:
    submissions = [
        submission("a"),
        submission("b"),
        submission("c", title="[OT] Chat"),
        submission("d", selftext="[removed]"),
    ]
    comments = [
        comment("1", "a", score=5),
        comment("2", "a", score=90, body="[deleted]"),
        comment("3", "a", score=50, body=f"{STORY}\n\nEdit: thanks for the [gold](http://x.y)!"),
        comment("4", "b", score=70, body="Too short."),
        comment("5", "a", parent_id="t1_1", score=99),
    ]
    files = [
        corpus_file(tmp_path, "RS_2014-05", json_lines(submissions)),
        corpus_file(tmp_path, "RC_2014-05", json_lines(comments)),
    ]
    [found], funnel = read(Reddit("WritingPrompts"), *files)
    assert found.id == "writingprompts-a"
    assert found.prompt() == "A door opens into yesterday."
    assert found.messages[1].content == STORY.strip()
    assert found.origin.row_id == "3"
    assert found.attribution.author == "bo (reply), ann (premise)"
    assert removed(funnel) == {"deleted or removed": 1, "title alone": 1, "best reply": 1}


def test_ask_reddit_takes_questions_that_the_title_completes(tmp_path: Path) -> None:
    made = [
        submission("a", title="What did you learn too late?"),
        submission("b", title="What is this?", selftext="see inside"),
        submission("c", title="No question here"),
        submission("d", title="What now?", over_18=True),
        submission("e", title="What else?", score=3),
        submission("f", title="What more?", score=10**12),
    ]
    for record in made:
        record["subreddit"] = "AskReddit"
    found, funnel = read(Reddit("AskReddit"), corpus_file(tmp_path, "RS_x", json_lines([*made, b"{broken", b"[1]"])))
    assert [candidate.prompt() for candidate in found] == ["What did you learn too late?"]
    assert removed(funnel) == {"title alone": 2, "adult content": 1, "score": 1}
    assert funnel.malformed_count == 3


def task(**values: Any) -> bytes:
    made = {
        "Categories": ["Summarization"],
        "Definition": ["Sum it up."],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instances": [{"id": f"t-{n}", "input": f"text {n}", "output": [f"sum {n}"]} for n in range(9)],
    }
    return orjson.dumps(made | values)


def test_one_random_instance_of_each_generation_task(tmp_path: Path) -> None:
    files = [
        corpus_file(tmp_path, "task1_a.json", task()),
        corpus_file(
            tmp_path, "task2_b.json", task(Definition="As a string.", Categories=["Text Modification -> Paraphrasing"])
        ),
        corpus_file(tmp_path, "task3_c.json", task(Categories=["Sentiment Analysis"])),
        corpus_file(tmp_path, "task4_d.json", task(Output_language=["French"])),
        corpus_file(tmp_path, "task5_e.json", task(Instances=[])),
        corpus_file(tmp_path, "task6_f.json", b"{"),
    ]
    found, funnel = read(NaturalInstructions(seed=1), *files)
    assert [candidate.id for candidate in found] == ["task1_a", "task2_b"]
    assert found[1].prompt().startswith("As a string.\n\ntext ")
    assert removed(funnel) == {"generation category": 1, "English": 1, "usable instance": 1}
    assert funnel.malformed_count == 1
    drawn = {read(NaturalInstructions(seed=seed), files[0])[0][0].origin.row_id for seed in range(20)}
    assert len(drawn) > 3


def test_authored_groups_tags_and_splits(tmp_path: Path) -> None:
    lines = [
        {
            "id": "a1",
            "group": "A",
            "split": "train",
            "prompt": "Why?",
            "response": "Because.",
            "tags": ["refusal", "sensitive"],
        },
        {"id": "a2", "group": "A", "split": "dev", "prompt": "How?"},
        {"id": "b1", "group": "B", "prompt": "What?"},
        {"id": "a1", "group": "A", "prompt": "Twice?"},
        {"group": "A", "split": "validation", "prompt": "Which split?"},
        {"group": "A", "prompt": "   "},
        {"messages": [{"role": "assistant", "content": "I begin."}]},
    ]
    file = corpus_file(tmp_path, "authored.jsonl", json_lines(lines))
    found, funnel = read(Authored("A"), file)
    assert [(candidate.id, candidate.split) for candidate in found] == [("a1", "train"), ("a2", "dev")]
    assert found[0].tags == ("refusal", "sensitive")
    assert removed(funnel) == {"group": 1}
    assert funnel.malformed_count == 4
    assert [candidate.split for candidate in read(Authored("B"), file)[0]] == ["test"]
    assert [candidate.id for candidate in read(Authored(tags=("refusal",)), file)[0]] == ["a1"]


def test_comment_chains_become_dialogues_of_two_people(tmp_path: Path) -> None:
    comments = [
        {
            "Id": 1,
            "PostId": 2,
            "Score": 0,
            "Text": "@Bo What about water?",
            "CreationDate": "2014-05-03T10:00:00.000",
            "UserId": 7,
        },
        {
            "Id": 2,
            "PostId": 2,
            "Score": 0,
            "Text": "A stranger speaks",
            "CreationDate": "2014-05-03T10:01:00.000",
            "UserId": 99,
        },
        {
            "Id": 3,
            "PostId": 2,
            "Score": 0,
            "Text": "It weakens it.",
            "CreationDate": "2014-05-03T10:02:00.000",
            "UserId": 8,
        },
        {"Id": 4, "PostId": 2, "Score": 0, "Text": "Thanks", "CreationDate": "2014-05-03T10:03:00.000", "UserId": 7},
    ]
    files = [
        corpus_file(tmp_path, f"{HOST}/Posts.xml", dump([question(1), answer(2, 1), question(3), answer(4, 3)])),
        corpus_file(tmp_path, f"{HOST}/Comments.xml", dump(comments, "comments")),
    ]
    [found], funnel = read(Dialogue("stack_exchange_comments"), *files)
    assert [turn.role for turn in found.messages] == ["user", "assistant", "user", "assistant"]
    assert [turn.content for turn in found.messages[2:]] == ["What about water?", "It weakens it."]
    assert "needs-editing" in found.tags
    assert removed(funnel) == {"enough turns": 1}


@pytest.mark.parametrize(
    ("record", "form"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, "messages"),
        ({"conversations": ["q", "a"], "source": "stackexchange"}, "lima"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "sharegpt"),
        ({"instruction": "q", "input": "", "output": "a"}, "alpaca"),
        ({"prompt": "q", "response": "a"}, "prompt"),
    ],
)
def test_existing_sets_in_every_form(tmp_path: Path, record: dict[str, Any], form: str) -> None:
    assert format_of(record) == form
    for name, data in (("x.jsonl", json_lines([record])), ("x.json", orjson.dumps([record]))):
        [found], _ = read(Existing(), corpus_file(tmp_path, name, data))
        assert [(turn.role, turn.content) for turn in found.messages] == [("user", "q"), ("assistant", "a")]
    parquet.write_table(arrow.Table.from_pylist([record]), tmp_path / "p.parquet")
    [found], _ = read(Existing(), corpus_file(tmp_path, "test.parquet", (tmp_path / "p.parquet").read_bytes()))
    assert found.split == "test"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "id",
    "title",
    "selftext",
    "score",
    "subreddit",
    "messages",
    "conversations",
    "instruction",
    "output",
    "prompt",
    "response",
    "split",
    "tags",
    "Definition",
    "Categories",
    "Instances",
    "text",
    "headline",
    "methods",
    "body",
    "parent_id",
)
RECORD = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=7)
SOURCES: list[tuple[Source, str]] = [
    (Wikihow(), "x.jsonl"),
    (Wikihow(), "x.csv"),
    (Wikihow(), "x.html"),
    (Reddit("WritingPrompts"), "RS_x"),
    (NaturalInstructions(), "x.json"),
    (Authored(), "x.jsonl"),
    (Dialogue(), "x.jsonl"),
    (Existing(), "x.jsonl"),
    (Existing(), "x.parquet"),
    (Existing(), "x.csv"),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize(("source", "name"), SOURCES)
@given(st.lists(RECORD.map(orjson.dumps) | st.binary(max_size=60), max_size=6).map(b"\n".join))
def test_foreign_input_is_read_or_counted_but_never_crashes(
    tmp_path: Path, source: Source, name: str, data: bytes
) -> None:
    found, funnel = read(source, corpus_file(tmp_path, name, data), max_malformed=1000)
    assert len(found) <= funnel.entered
    assert all(turn.content.strip() for candidate in found for turn in candidate.messages)


@given(RECORD)
def test_a_conversation_alternates_or_is_refused(record: dict[str, Any]) -> None:
    try:
        turns = turns_of(record)
    except NotAConversation:
        return
    spoken = [turn for turn in turns if turn.role != "system"]
    assert [turn.role for turn in spoken] == (["user", "assistant"] * len(spoken))[: len(spoken)]
