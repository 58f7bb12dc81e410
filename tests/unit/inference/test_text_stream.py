"""Incremental text: joined it is the whole, and nothing of a stop string shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.replica.engines.text import TextStream


class Bytes:
    """A tokenizer of single bytes, by which every character may be cut."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool) -> str:
        return bytes(token_ids).decode(errors="replace")


def streamed(tokenizer: Any, ids: list[int], stop: tuple[str, ...], sizes: list[int]) -> list[str]:
    stream, pieces, at = TextStream(tokenizer, stop), [], 0
    while at < len(ids) and not stream.stopped:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream.push(ids[at : at + size]))
        at += size
    return [*pieces, stream.finish()]


def cut(text: str, stop: tuple[str, ...]) -> str:
    places = [text.find(string) for string in stop if string in text]
    return text[: min(places)] if places else text


@given(
    st.text(st.sampled_from("ab é漢🙂"), max_size=40),
    st.lists(st.text(st.sampled_from("ab é"), min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_pieces_join_to_the_text_cut_before_the_first_stop(text: str, stop: list[str], sizes: list[int]) -> None:
    pieces = streamed(Bytes(), list(text.encode()), tuple(stop), sizes)
    joined = "".join(pieces)
    assert not any(string in joined for string in stop)
    assert joined == cut(text, tuple(stop)) or text.startswith(joined)
    if not stop:
        assert joined == text


def test_a_character_in_several_tokens_comes_whole() -> None:
    pieces = streamed(Bytes(), list("a🙂b".encode()), (), [1])
    assert [piece for piece in pieces if piece] == ["a", "🙂", "b"]


def test_a_possible_stop_is_held_back_and_released() -> None:
    stream = TextStream(Bytes(), ("END",))
    assert stream.push(list(b"the E")) == "the "
    assert stream.push(list(b"N")) == ""
    assert stream.push(list(b"!")) == "EN!"
    assert stream.push(list(b"END more")) == ""
    assert stream.stopped
    assert stream.finish() == ""


def test_bytes_that_never_become_a_character_come_at_the_end() -> None:
    assert "".join(streamed(Bytes(), [97, 0xF0, 0x9F], (), [1])) == "a\ufffd"


@given(st.lists(st.integers(1, 300), max_size=40), st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_a_real_tokenizer_gives_the_same_text_in_pieces(tiny_tokenizer: Any, ids: list[int], sizes: list[int]) -> None:
    assert "".join(streamed(tiny_tokenizer, ids, (), sizes)) == tiny_tokenizer.decode(ids, skip_special_tokens=True)


@pytest.fixture(scope="module")
def tiny_tokenizer(tiny_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)
