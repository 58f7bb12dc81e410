"""The samples beside Stack Exchange: true formats, enough of each, and no text that copies another."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import zstandard
from lxml import html

from tests.unit.corpora.sample_files import SAMPLES, read_jsonl, read_zstd

PAGES = sorted((SAMPLES / "wikihow").glob("*.html"))
TASKS = sorted((SAMPLES / "natural_instructions").glob("task*.json"))
DUMPS = ("RS_WritingPrompts", "RC_WritingPrompts", "RS_AskReddit")


def word_count(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_the_structure_of_a_how_to_article(path: Path) -> None:
    page = html.document_fromstring(path.read_bytes())
    (heading,) = page.xpath('//h1[@id="section_0"]/a')
    assert heading.text.startswith("How to ")
    assert len(page.xpath('//ul[@id="breadcrumb"]/li')) >= 3
    leads = page.xpath('//ol[@class="steps_list_2"]/li/div[@class="step"]/b[@class="whb"]')
    assert len(leads) >= 8
    assert all(lead.text.strip().endswith((".", "?", "!")) for lead in leads)
    assert page.xpath('//div[@id="tips"]//li')
    assert page.xpath('//ol[contains(@class, "references")]/li')
    body = " ".join(page.xpath('//div[@class="mf-section-0"]//text() | //div[@class="step"]//text()'))
    assert 280 <= word_count(body) <= 700


def test_how_to_articles_span_categories_and_some_begin_with_this_article() -> None:
    pages = [html.document_fromstring(path.read_bytes()) for path in PAGES]
    assert len(pages) == 12
    assert len({page.xpath('string(//ul[@id="breadcrumb"]/li[2])') for page in pages}) >= 8
    introductions = [page.xpath('string(//div[@class="mf-section-0"]/p)') for page in pages]
    assert 3 <= sum(text.startswith("This article ") for text in introductions) <= 8
    assert any(not page.xpath('//h3[@class="in-block"]') for page in pages), "an article without parts"


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_needs_the_long_window(name: str) -> None:
    frame = (SAMPLES / "reddit" / f"{name}.zst").read_bytes()
    assert zstandard.get_frame_parameters(frame).window_size == 1 << 31
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().stream_reader(frame).read()


def test_thirty_writing_prompts_have_a_reply_worth_reading() -> None:
    posts = {post["name"]: post for post in read_zstd("reddit/RS_WritingPrompts.zst")}
    replies = read_zstd("reddit/RC_WritingPrompts.zst")
    assert all(reply["parent_id"] in posts and reply["subreddit"] == "WritingPrompts" for reply in replies)
    good = [reply for reply in replies if posts[reply["parent_id"]]["score"] >= 100 and reply["score"] >= 200]
    lengths = [word_count(reply["body"]) for reply in good if reply["body"] not in ("[deleted]", "[removed]")]
    assert len(lengths) == 30
    assert all(100 <= length <= 350 for length in lengths), sorted(lengths)
    gone = [post for post in posts.values() if post["selftext"] in ("[deleted]", "[removed]")]
    assert {post["selftext"] for post in gone} == {"[deleted]", "[removed]"}
    assert any(post["score"] < 100 for post in posts.values())


def test_questions_of_askreddit_are_titles_alone_but_for_some_that_must_go() -> None:
    posts = read_zstd("reddit/RS_AskReddit.zst")
    bare = [post for post in posts if not post["selftext"] and post["score"] >= 100]
    assert len(bare) == 24
    assert all(post["title"].endswith("?") for post in bare)
    assert sum(bool(post["selftext"]) for post in posts) >= 4


def test_tasks_follow_the_schema_in_both_of_its_variants() -> None:
    tasks = [json.loads(path.read_text("utf-8")) for path in TASKS]
    assert len(tasks) == 10
    assert {type(task["Definition"]) for task in tasks} == {str, list}
    assert len({task["Categories"][0] for task in tasks}) == 10
    for task in tasks:
        assert task["Contributors"]
        assert task["Source"]
        assert task["Output_language"] == ["English"]
        for example in task["Positive Examples"] + task["Negative Examples"]:
            assert set(example) == {"input", "output", "explanation"}
        assert len(task["Instances"]) >= 6
        for instance in task["Instances"]:
            assert instance["input"].strip()
            assert all(output.strip() for output in instance["output"])


def test_authored_prompts_come_in_two_groups() -> None:
    groups = {name: read_jsonl(f"authored/group_{name.lower()}.jsonl") for name in ("A", "B")}
    kinds = Counter((name, len(line["messages"])) for name, lines in groups.items() for line in lines)
    assert kinds == {("A", 2): 40, ("A", 1): 10, ("B", 1): 24}
    for name, lines in groups.items():
        assert all(line["group"] == name and line["author"] and line["licence"] for line in lines)
        assert sum("sensitive" in line["tags"] for line in lines) == 3
    ids = [line["id"] for lines in groups.values() for line in lines]
    assert len(set(ids)) == len(ids)


def test_a_response_acknowledges_in_one_sentence_and_then_answers() -> None:
    for line in read_jsonl("authored/group_a.jsonl")[:40]:
        opening, *rest = line["messages"][1]["content"].split("\n\n")
        assert re.search(r"[.:!]$", opening), line["id"]
        assert rest, line["id"]
        assert 120 <= word_count(line["messages"][1]["content"]) <= 450, line["id"]


def test_a_refusal_says_why() -> None:
    refusals = [line for line in read_jsonl("authored/group_a.jsonl") if "sensitive" in line["tags"]]
    for line in refusals:
        text = line["messages"][1]["content"]
        assert re.search(r"\bI (won't|can't)\b", text), line["id"]
        assert re.search(r"\b(because|illegal)\b", text), line["id"]


def test_dialogues_alternate_for_three_exchanges_or_more() -> None:
    dialogues = read_jsonl("dialogues/dialogues.jsonl")
    assert len(dialogues) == 4
    for dialogue in dialogues:
        roles = [message["role"] for message in dialogue["messages"]]
        assert len(roles) >= 6
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def every_response() -> dict[str, str]:
    """All texts that a model may be trained on, except Stack Exchange and wikiHow, by where they stand."""
    texts: dict[str, str] = {}
    lines: list[dict[str, Any]] = read_jsonl("authored/group_a.jsonl") + read_jsonl("dialogues/dialogues.jsonl")
    for line in lines:
        for place, message in enumerate(line["messages"]):
            if message["role"] == "assistant":
                texts[f"{line['id']}/{place}"] = message["content"]
    texts |= {reply["id"]: reply["body"] for reply in read_zstd("reddit/RC_WritingPrompts.zst")}
    for path in TASKS:
        for place, instance in enumerate(json.loads(path.read_text("utf-8"))["Instances"]):
            texts[f"{path.stem}/{place}"] = instance["output"][0]
    return texts


def test_no_two_responses_are_near_copies() -> None:
    shingles = {}
    for name, text in every_response().items():
        words = re.findall(r"\w+", text.lower())
        if len(words) >= 12:
            shingles[name] = {tuple(words[start : start + 5]) for start in range(len(words) - 4)}
    assert len(shingles) > 120
    for (first, left), (second, right) in combinations(shingles.items(), 2):
        assert len(left & right) <= 0.1 * min(len(left), len(right)), f"{first} and {second} share too much"
