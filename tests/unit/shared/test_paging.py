from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.paging import decode_page_token, encode_page_token, page_size

POSITIONS = st.text(max_size=50) | st.integers() | st.lists(st.text(max_size=10) | st.integers(), max_size=3)
QUERIES = st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3)


@given(POSITIONS, QUERIES)
def test_a_token_gives_its_position_back(position: Any, query: Any) -> None:
    token = encode_page_token(position, query=query)
    assert decode_page_token(token, query=query) == position
    assert token.replace("-", "").replace("_", "").isalnum()


@given(POSITIONS, QUERIES, QUERIES)
def test_a_token_of_another_query_is_refused(position: Any, query: Any, other: Any) -> None:
    token = encode_page_token(position, query=query)
    if query != other:
        with pytest.raises(InvalidInput, match="page_token"):
            decode_page_token(token, query=other)


@given(st.text(min_size=1, max_size=3000) | st.binary(min_size=1, max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_foreign_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        decode_page_token(token)


@given(POSITIONS, st.data())
def test_a_damaged_token_is_refused(position: Any, data: st.DataObject) -> None:
    token = encode_page_token(position)
    index = data.draw(st.integers(0, len(token) - 1))
    damaged = token[:index] + data.draw(st.sampled_from("AZaz09-_!")) + token[index + 1 :]
    try:
        decoded = decode_page_token(damaged)
    except InvalidInput:
        return
    # The last character of base64 holds bits that carry nothing.
    assert decoded == position


def test_deep_nesting_is_refused() -> None:
    import base64

    token = base64.urlsafe_b64encode(b"0" * 16 + b"[" * 1400).decode().rstrip("=")
    with pytest.raises(InvalidInput):
        decode_page_token(token)


def test_the_first_page_needs_no_token() -> None:
    assert decode_page_token("") is None


@pytest.mark.parametrize(("requested", "given"), [(0, 50), (1, 1), (1000, 1000), (5000, 1000)])
def test_page_sizes_are_bounded(requested: int, given: int) -> None:
    assert page_size(requested) == given


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="page_size = -1"):
        page_size(-1)
