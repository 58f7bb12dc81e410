"""Writing examples: drafts save themselves, two tabs do not overwrite each other."""

from __future__ import annotations

import html
import re

import pytest

from lima.curation.v1 import authoring_pb2
from services.console.pages.authoring import COLLECTION
from services.console.sessions import Role
from tests.service.console.stack import Stack
from tests.service.console.visitor import DATA, Visitor, field


@pytest.fixture
def author(stack: Stack) -> Visitor:
    return Visitor(stack).come_in(stack, "mina", Role.ANNOTATOR)


@pytest.fixture
def path(author: Visitor) -> str:
    answer = author.post("/author/new", {"group": "A", "split": "train"})
    assert answer.status_code == 303
    return answer.headers["location"]


def draft(stack: Stack, path: str) -> authoring_pb2.Draft:
    name = f"{COLLECTION}/drafts/{path.rsplit('/', 1)[1]}"
    found: authoring_pb2.Draft = stack.authoring.GetDraft(authoring_pb2.GetDraftRequest(name=name))
    return found


def written(etag: str, **changes: object) -> dict[str, object]:
    fields = {
        "etag": etag,
        "group": "A",
        "split": "train",
        "role": ["user", "assistant"],
        "content": ["How long do eggs boil?", "Good question. Seven minutes\r\nfor soft ones."],
        "tag": [],
    }
    return {**fields, **changes}


def test_a_draft_saves_itself(stack: Stack, author: Visitor, path: str) -> None:
    saved = author.post(f"{path}/save", written(field(author.get(path).text, "etag")), DATA).json()
    kept = draft(stack, path)
    assert [turn.content for turn in kept.messages] == [
        "How long do eggs boil?",
        "Good question. Seven minutes\nfor soft ones.",
    ]
    assert saved["etag"] == kept.etag
    assert kept.author == "mina"
    assert re.search(r"\d", saved["tokens"])
    assert "How long do eggs boil?" in author.get("/author").text
    assert "Seven minutes" in author.get(path).text


def test_a_second_tab_does_not_overwrite(stack: Stack, author: Visitor, path: str) -> None:
    etag = field(author.get(path).text, "etag")
    assert author.post(f"{path}/save", written(etag), DATA).status_code == 200
    late = author.post(f"{path}/save", written(etag, content=["Other?", "Other."]), DATA)
    assert late.status_code == 409
    assert draft(stack, path).messages[0].content == "How long do eggs boil?"


def test_a_save_whose_answer_was_lost_may_come_again(author: Visitor, path: str) -> None:
    etag = field(author.get(path).text, "etag")
    first = author.post(f"{path}/save", written(etag), DATA).json()
    again = author.post(f"{path}/save", written(etag), DATA)
    assert again.status_code == 200
    assert again.json()["etag"] == first["etag"]


def test_submitting_counts_towards_the_quota(stack: Stack, author: Visitor, path: str) -> None:
    answer = author.post(f"{path}/submit", written(field(author.get(path).text, "etag"), tag=["sensitive"]), DATA)
    assert answer.json() == {"next": "/author"}
    kept = draft(stack, path)
    assert kept.state == authoring_pb2.DRAFT_STATE_SUBMITTED
    assert list(kept.tags) == ["sensitive"]
    assert "submitted" in author.get("/author").text


def test_an_unfinished_draft_is_not_submitted(author: Visitor, path: str) -> None:
    fields = written(field(author.get(path).text, "etag"), content=["Only a question?", ""])
    answer = author.post(f"{path}/submit", fields, DATA)
    assert answer.status_code in (400, 409)
    assert answer.json()["error"]


def test_a_dialogue_grows(stack: Stack, author: Visitor) -> None:
    path = author.post("/author/new", {"group": "A", "split": "train", "kind": "dialogue"}).headers["location"]
    turns = {"role": ["user", "assistant"] * 2, "content": ["Hi?", "Hello.", "And?", "More."], "tag": ["dialogue"]}
    assert author.post(f"{path}/save", written(field(author.get(path).text, "etag"), **turns), DATA).status_code == 200
    kept = draft(stack, path)
    assert len(kept.messages) == 4
    assert list(kept.tags) == ["dialogue"]


def test_deleting(author: Visitor, path: str) -> None:
    assert author.post(f"{path}/delete", {"etag": field(author.get(path).text, "etag")}).status_code == 303
    assert author.get(path).status_code == 404


def test_a_draft_is_its_authors(stack: Stack, author: Visitor, path: str) -> None:
    other = Visitor(stack).come_in(stack, "jun", Role.ANNOTATOR)
    assert other.get(path).status_code in (403, 502)
    assert other.post(f"{path}/save", written("x"), DATA).status_code in (403, 502)
    assert Visitor(stack).come_in(stack, "op", Role.OPERATOR).get(path).status_code == 200


def test_hostile_words_stay_words(author: Visitor, path: str) -> None:
    hostile = "</textarea><script>window.hacked = 1</script>"
    etag = field(author.get(path).text, "etag")
    author.post(f"{path}/save", written(etag, content=[hostile, hostile]), DATA)
    page = author.get(path).text
    assert html.escape(hostile, quote=False) in page
    assert "<script>window" not in page


@pytest.mark.parametrize(
    "changes",
    [
        {"group": "C"},
        {"split": "test"},
        {"role": ["user"], "content": ["a", "b"]},
        {"role": [], "content": []},
        {"role": ["user"] * 50, "content": ["x"] * 50},
        {"role": ["robot", "assistant"]},
    ],
)
def test_bad_input_is_told(author: Visitor, path: str, changes: dict[str, object]) -> None:
    answer = author.post(f"{path}/save", written(field(author.get(path).text, "etag"), **changes), DATA)
    assert answer.status_code == 400
    assert answer.json()["error"]
