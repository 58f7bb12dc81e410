"""Names, prompts and turns: what is let in, and how the rest is refused."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.names import AliasRef, BareRef, ModelRef, check_model_id, check_version, parse_reference
from services.inference.text_input import MAX_PROMPT_CHARACTERS, check_prompt, check_turns
from services.shared.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models/base", ModelRef("base")),
        ("models/base/versions/v1.2_x", ModelRef("base", "v1.2_x")),
        ("aliases/judge", AliasRef("judge")),
        ("base-135m", BareRef("base-135m")),
    ],
)
def test_references(text: str, expected: object) -> None:
    assert parse_reference(text) == expected
    assert str(expected) == text


@given(st.text(max_size=80) | st.from_regex(r"(models/)?[a-z0-9/.-]{0,20}", fullmatch=True))
def test_a_reference_is_read_back_as_written_or_refused(text: str) -> None:
    parts = text.removeprefix("models/").removeprefix("aliases/").split("/")
    plain = all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", part) for part in parts)
    read = None
    with suppress(InvalidInput):
        read = str(parse_reference(text))
    assert read in (None, text)
    assert plain or read is None


@pytest.mark.parametrize("name", ["", "Base", "-a", "a-", "a--b", "a/b", "a" * 64, "../x"])
def test_bad_model_ids(name: str) -> None:
    with pytest.raises(InvalidInput, match="model_id"):
        check_model_id(name)


def test_bad_version() -> None:
    assert check_version("") == ""
    with pytest.raises(InvalidInput, match="version"):
        check_version("v1/../../x")


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        ("", "must not be empty"),
        ("x" * (MAX_PROMPT_CHARACTERS + 1), "must be at most"),
        ("a\ud800b", "valid UTF-8"),
        ("a\0b", "NUL"),
    ],
)
def test_bad_prompts(prompt: str, rule: str) -> None:
    with pytest.raises(InvalidInput, match=rule):
        check_prompt(prompt)


@pytest.mark.parametrize(
    ("roles", "field", "rule"),
    [
        ([], "messages", "at least one user turn"),
        (["assistant"], "messages[0].role", "must be user"),
        (["user", "user"], "messages[1].role", "must be assistant"),
        (["user", "assistant"], "messages[1].role", "answers the last turn"),
        (["user", "system", "user"], "messages[1].role", "must be assistant"),
        (["system", "system", "user"], "messages[1].role", "must be user"),
        (["tool"], "messages[0].role", "must be system, user or assistant"),
        (["system"], "messages[0].role", "must be user"),
    ],
)
def test_roles_out_of_order(roles: list[str], field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_turns([(role, "text") for role in roles])
    assert refused.value.violations[0].field == field
    assert rule in refused.value.violations[0].rule


def test_turns_in_order() -> None:
    turns = check_turns([("system", "be kind"), ("user", "a"), ("assistant", "b"), ("user", "c")])
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]


def test_an_enormous_conversation_is_refused() -> None:
    half = "x" * (MAX_PROMPT_CHARACTERS // 2 + 1)
    with pytest.raises(InvalidInput, match="together"):
        check_turns([("user", half), ("assistant", "ok"), ("user", half)])
    with pytest.raises(InvalidInput, match="at most 1000 turns"):
        check_turns([("user", "a"), ("assistant", "b")] * 501)
