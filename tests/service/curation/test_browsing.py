"""Pages, searches and single examples of a dataset, kept in memory or streamed, find the same."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.curation.browsing import ExampleShelf, escaped
from services.curation.datasets import Datasets
from services.shared.errors import DataCorrupt, InvalidInput, NotFound
from services.shared.objects import ObjectStore
from services.shared.records import Example, Turn

PROMPTS = ("How do I boil an EGG?", 'Say "hi" \\ bye', "Zeile\u2028weiter", "STRASSE", "straße", "an egg, again")


def example(number: int, prompt: str) -> Example:
    split: Any = "dev" if number == 3 else "train"
    source = "b" if number % 2 else "a"
    return Example(id=f"e{number}", source=source, split=split, messages=(Turn(role="user", content=prompt),))


@pytest.fixture
def manifest(object_store: ObjectStore) -> dict[str, Any]:
    found = {"name": f"browsed-{secrets.token_hex(4)}", "digest": "0" * 64}
    for split in ("train", "dev", "test"):
        lines = [one for one in (example(*pair) for pair in enumerate(PROMPTS)) if one.split == split]
        text = "".join(line.model_dump_json() + "\n" for line in lines)
        object_store.put_bytes(f"datasets/{found['name']}/{found['digest']}/{split}.jsonl", text.encode())
    return found


@pytest.fixture(params=["kept", "streamed"])
def shelf(object_store: ObjectStore, request: pytest.FixtureRequest) -> ExampleShelf:
    return ExampleShelf(Datasets(object_store), split_bytes=1 if request.param == "streamed" else 1 << 20)


def ids(examples: list[Example]) -> list[str]:
    return [one.id for one in examples]


def test_pages_filters_and_searches(shelf: ExampleShelf, manifest: dict[str, Any]) -> None:
    # The files stand in the order train, dev, test.
    assert ids(shelf.page(manifest, 0, 10)) == ["e0", "e1", "e2", "e4", "e5", "e3"]
    assert ids(shelf.page(manifest, 4, 10)) == ["e5", "e3"]
    assert ids(shelf.page(manifest, 0, 10, split="dev")) == ["e3"]
    assert ids(shelf.page(manifest, 0, 10, source="b")) == ["e1", "e5", "e3"]
    assert ids(shelf.page(manifest, 0, 10, query="Egg")) == ["e0", "e5"]
    assert ids(shelf.page(manifest, 1, 10, query="Egg")) == ["e5"]
    assert ids(shelf.page(manifest, 0, 10, query="egg", source="b")) == ["e5"]
    assert ids(shelf.page(manifest, 0, 10, query='"HI" \\')) == ["e1"]
    assert ids(shelf.page(manifest, 0, 10, query="strasse")) == ["e4", "e3"]
    # Names of fields stand in every line and in no text.
    assert shelf.page(manifest, 0, 10, query="messages") == []
    with pytest.raises(InvalidInput):
        shelf.page(manifest, 0, 10, split="other")


def test_one_example(shelf: ExampleShelf, manifest: dict[str, Any]) -> None:
    assert shelf.example(manifest, "e3").messages[0].content == "STRASSE"
    with pytest.raises(NotFound):
        shelf.example(manifest, "e")


def test_what_was_read_is_kept_up_to_a_bound(object_store: ObjectStore, manifest: dict[str, Any]) -> None:
    key = f"datasets/{manifest['name']}/{manifest['digest']}/train.jsonl"
    kept, bounded = ExampleShelf(Datasets(object_store)), ExampleShelf(Datasets(object_store), kept_bytes=1)
    assert len(kept.page(manifest, 0, 9)) == len(bounded.page(manifest, 0, 9)) == 6
    object_store.put_bytes(key, b"not json\n")
    assert len(kept.page(manifest, 0, 9)) == 6
    with pytest.raises(DataCorrupt, match="Build the set again"):
        bounded.page(manifest, 0, 9)


@given(st.text(max_size=30), st.text(max_size=8), st.text(max_size=8))
def test_a_line_that_holds_a_text_holds_its_escaped_form(middle: str, before: str, after: str) -> None:
    """What a search passes over without parsing cannot match."""
    text = before + middle + after
    line = Example(id=text, source="s", split="train", messages=(Turn(role="user", content=text),)).model_dump_json()
    assert escaped(middle) in line
    assert escaped(middle).casefold() in line.casefold()
    assert json.loads(line)["id"] == text
