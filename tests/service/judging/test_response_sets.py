"""Response sets as judging reads them."""

from __future__ import annotations

import pytest

from services.judging.response_sets import read_responses
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import Response, Turn


def written(store: ObjectStore, *lines: bytes) -> str:
    store.put_bytes("responses/made.jsonl", b"\n".join(lines))
    return store.uri("responses/made.jsonl")


def answer(text: str) -> bytes:
    response = Response(
        prompt_id="p",
        messages=(Turn(role="user", content="Say something."),),
        response=text,
        model="models/m/versions/1",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
    )
    return response.model_dump_json().encode()


def test_what_no_prompt_may_hold_is_replaced_in_an_answer(object_store: ObjectStore) -> None:
    uri = written(object_store, answer("a\0b"))
    assert [response.response for response in read_responses(object_store, uri, "systems")] == ["a\ufffdb"]


def test_a_broken_line_is_named(object_store: ObjectStore) -> None:
    uri = written(object_store, answer("fine"), b'{"prompt_id": 5}')
    with pytest.raises(InvalidInput, match="line 2"):
        list(read_responses(object_store, uri, "systems"))
